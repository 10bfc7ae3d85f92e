"""One well-behaved upstream for the tests of the testing package itself."""

from collections.abc import AsyncIterator

import pytest

from secdns.testing import FakeUpstream, ZoneData

ZONES: dict[str, ZoneData] = {
    "example.test": {
        "@": {"MX": "10 mail", "TXT": "hello"},
        "www": {"A": ["192.0.2.1", "192.0.2.2"]},
        "alias": {"CNAME": "www"},
        "large": {"TXT": [f"{number:03d}{'x' * 250}" for number in range(20)]},
    }
}


@pytest.fixture
async def up() -> AsyncIterator[FakeUpstream]:
    async with FakeUpstream(ZONES) as upstream:
        yield upstream
