"""A private session bus, and a daemon that has nothing but the local API."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.tray.fakes import FakeDaemon
from tests.tray.session import session


@pytest.fixture
def bus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a session bus that nobody else is on; programs that are started here find it."""
    with session(tmp_path) as address:
        monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", address)
        yield address


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[FakeDaemon]:
    """A daemon that runs."""
    fake = FakeDaemon(tmp_path / "control.sock")
    with fake.running():
        yield fake
