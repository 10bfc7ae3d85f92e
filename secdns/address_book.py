"""Remember the addresses of upstreams over a restart, for a start without any network (fault F30).

One small JSON file (``state_file``): for each host the addresses found last and, where they
differ, the set found before that, each with the time of the wall clock. An address is only where to
dial, so nothing depends on the file being true; what is damaged, old or from the future is left out.
"""

import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from secdns import BUILT_AT, state_file
from secdns.endpoint import parse_address
from secdns.errors import EndpointError

FILE_NAME: Final = "upstream-addresses.json"
MAX_FILE: Final = 1 << 17  # octets; 64 hosts with 32 addresses each are 100 KB
MAX_HOSTS: Final = 64
MAX_SETS: Final = 2  # of one host
MAX_ADDRESSES: Final = 16  # of one set
MAX_AGE_S: Final = 30 * 86400.0
MAX_AHEAD_S: Final = 3600.0  # a clock may have been set back a little since

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Remembered:
    """Addresses that a host had, and how many seconds ago that was found."""

    addresses: tuple[str, ...]
    age_s: float


class AddressBook:
    """The file in ``directory``. ``wall`` gives seconds since 1970. Both methods block."""

    def __init__(self, directory: Path, *, wall: Callable[[], float] = time.time) -> None:
        self.path = directory / FILE_NAME
        self._wall = wall

    def read(self) -> dict[str, tuple[Remembered, ...]]:
        """Give what is remembered of each host, the newest first; nothing if it cannot be read.

        A damaged file is put aside. A wall clock that cannot be right says nothing about age (fault
        F14): then nothing is too old.
        """
        octets = state_file.read(self.path, MAX_FILE)
        if octets is None:
            return {}
        try:
            found = json.loads(octets)
            if not isinstance(found, dict):
                raise ValueError("not an object")
            hosts = list(found.items())[:MAX_HOSTS]
            return {host: kept for host, sets in hosts if (kept := self._sets(sets))}
        except (ValueError, OverflowError, RecursionError):
            _LOG.warning("%s is put aside: it is damaged", self.path)
            state_file.set_aside(self.path)
            return {}

    def write(self, hosts: Mapping[str, Sequence[Remembered]]) -> None:
        """Put ``hosts`` in place of what was there; what goes wrong is logged.

        Nothing is written while the wall clock cannot be right.
        """
        now = self._wall()
        if now < BUILT_AT:
            return
        content = {
            host: [[round(now - each.age_s), *each.addresses] for each in sets]
            for host, sets in hosts.items()
        }
        try:
            state_file.write(self.path, json.dumps(content, indent=1).encode())
        except OSError as error:
            _LOG.warning("the addresses of upstreams are not kept: %s: %s", self.path, error.strerror)

    def _sets(self, sets: object) -> tuple[Remembered, ...]:
        """Give the sets of one host that can still be used.

        Raises:
            ValueError: that is not what ``write`` writes.
        """
        if not isinstance(sets, list):
            raise ValueError("not a list")
        now = self._wall()
        found = []
        for each in sets[:MAX_SETS]:
            if not isinstance(each, list) or not each or not isinstance(each[0], int):
                raise ValueError("no time")
            age_s = now - each[0] if now >= BUILT_AT else 0.0
            if -MAX_AHEAD_S <= age_s < MAX_AGE_S:
                found.append(Remembered(_addresses(each[1:]), max(age_s, 0.0)))
        return tuple(each for each in found if each.addresses)


def _addresses(texts: Sequence[object]) -> tuple[str, ...]:
    """Give the addresses among these.

    Raises:
        ValueError: one of them is no address.
    """
    try:
        return tuple(dict.fromkeys(parse_address(str(text)) for text in texts[:MAX_ADDRESSES]))
    except EndpointError as error:
        raise ValueError("no address") from error
