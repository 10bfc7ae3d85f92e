"""What holds for the whole run: missing packages skip with a reason, and nobody asks the system's resolver.

- ``@pytest.mark.needs("kdig", package="knot-dnsutils")`` skips a test whose program is not installed.
  A fixture that starts a server says the same by letting ``MissingProgram`` out.
- With ``CI=true`` neither is a skip: it is a failure, so that no machine looks green without the packages.
- A tree of Debian that cannot be made or booted here (``NoTree``), and namespaces that are not allowed, are
  no fault of the program's: those tests are skipped anywhere, with the reason.
- ``socket.getaddrinfo`` raises for every host that is not an IP literal: secdns is the resolver, so it must
  never need one, and no test may leave the machine.
- A daemon started here opens its socket in a directory of the run's own.
- Properties try the same 200 examples on every run; ``HYPOTHESIS_PROFILE=nightly`` tries 5,000 fresh ones.
  How long one takes is nobody's failure: machines are busy.
"""

import gc
import ipaddress
import os
import shutil
import socket
import tempfile
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from tests.lab.netns import NoNamespaces
from tests.lab.programs import MissingProgram, find
from tests.lab.tree import NoTree

LAB = Path(__file__).parent / "lab"
STRICT = os.environ.get("CI", "").lower() in ("1", "true")

settings.register_profile("ci", max_examples=200, derandomize=True, database=None, deadline=None)
settings.register_profile("nightly", max_examples=5_000, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))

_patches = pytest.MonkeyPatch()
_real_getaddrinfo = socket.getaddrinfo


class SystemResolverAsked(AssertionError):
    """Something wanted the system's resolver."""


def _is_literal(host: str | bytes | None) -> bool:
    if not host:  # None and "" mean any or loopback address, not a name
        return True
    text = host.decode() if isinstance(host, bytes) else host
    try:
        ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return False
    return True


def _getaddrinfo(host: str | bytes | None, *args: Any, **kwargs: Any) -> Any:
    if not _is_literal(host):
        raise SystemResolverAsked(f"the system's resolver was asked for {host!r}")
    return _real_getaddrinfo(host, *args, **kwargs)


def _refuse(host: object, *args: object) -> Any:
    raise SystemResolverAsked(f"the system's resolver was asked for {host!r}")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "needs(program, package): skip unless this program is there")
    _patches.setattr(socket, "getaddrinfo", _getaddrinfo)
    _patches.setenv("RUNTIME_DIRECTORY", tempfile.mkdtemp(prefix="secdns-test-"))  # never the machine's own
    for name in ("gethostbyname", "gethostbyname_ex", "gethostbyaddr"):
        _patches.setattr(socket, name, _refuse)


def pytest_unconfigure() -> None:
    shutil.rmtree(os.environ["RUNTIME_DIRECTORY"], ignore_errors=True)
    _patches.undo()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the lab, whose files take longest: several processes end at about the same time then."""
    items.sort(key=lambda item: LAB not in item.path.parents)


def pytest_collection_finish() -> None:
    """Spare the collector of garbage the thousands of tests: its pauses would be theirs."""
    gc.collect()
    gc.freeze()


def pytest_runtest_setup(item: pytest.Item) -> None:
    for mark in item.iter_markers("needs"):
        find(mark.args[0], mark.kwargs.get("package"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn a program or a tree that is not there into a skip, unless this is CI."""
    report = yield
    error = call.excinfo.value if call.excinfo else None
    reason = None
    if isinstance(error, MissingProgram) and not STRICT:
        reason = str(error)
    elif isinstance(error, NoTree):
        reason = f"needs: {error}"
    elif isinstance(error, NoNamespaces):
        reason = f"needs: network namespaces ({error})"
    if reason is not None:
        path, line, _ = item.location
        report.outcome = "skipped"
        report.longrepr = (path, (line or 0) + 1, f"Skipped: {reason}")
    return report
