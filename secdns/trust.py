"""Keep the trust anchors: begin with what is built in or configured, follow RFC 5011, remember it.

The state is one small JSON file (``state_file``). What cannot be read, or is older than the
program, is as good as none, and then trust begins anew where it began.
"""

import contextlib
import json
import logging
from collections.abc import Mapping
from hashlib import blake2b
from pathlib import Path

from secdns import state_file
from secdns.config import DNSSECConfig
from secdns.dns.name import to_text
from secdns.dnssec.algorithms import Policy
from secdns.dnssec.anchors import BUILT_IN, MAX_WAIVER_S, Anchor, Anchors, parse_all
from secdns.dnssec.chain import AnchorKeys, Trust
from secdns.dnssec.limits import Budget, OverBudget
from secdns.dnssec.roll import Roll, restore
from secdns.errors import FormatError

FILE_NAME = "trust-anchors.json"
SEAL = b"secdns trust anchors 1"
MAX_WAIVED = 64  # names at once, by hand
MAX_FILE = 1 << 20  # octets; 64 zones with 16 keys each are a quarter of it

_LOG = logging.getLogger(__name__)


class AnchorKeeper:
    """The trust anchors in force. ``directory`` is where their state is kept, None for nowhere."""

    def __init__(self, config: DNSSECConfig, directory: Path | None = None) -> None:
        self.policy = Policy(sha1=config.sha1)
        self._waived = config.negative_trust_anchors
        self._waived_for_now: dict[bytes, float] = {}
        self._path = None if directory is None else directory / FILE_NAME
        given = parse_all(config.trust_anchors, self.policy) if config.trust_anchors else BUILT_IN
        origins: dict[bytes, tuple[Anchor, ...]] = {}
        for anchor in given:
            origins[anchor.zone] = (*origins.get(anchor.zone, ()), anchor)
        saved = {} if self._path is None else _load(self._path)
        self._rolls = {zone: _restored(saved, zone, origin) for zone, origin in origins.items()}

    def anchors(self) -> Anchors:
        """Give what is trusted now, and what is waived."""
        trusted = {zone: roll.anchors(self.policy) for zone, roll in self._rolls.items()}
        waived: dict[bytes, float | None] = {**self._waived_for_now, **dict.fromkeys(self._waived)}
        return Anchors(trusted, waived)

    def waive(self, name: bytes, now: float, for_s: float) -> float:
        """Waive ``name`` for so many seconds, at most seven days (RFC 7646 §2); give until when.

        A restart ends it: whoever forgot about it is safe again. ``now`` is in the cache's seconds.

        Raises:
            ValueError: there are as many as there may be.
        """
        self._waived_for_now = {one: until for one, until in self._waived_for_now.items() if now < until}
        if len(self._waived_for_now) >= MAX_WAIVED and name.lower() not in self._waived_for_now:
            raise ValueError(f"over {MAX_WAIVED} names are waived already")
        until = self._waived_for_now[name.lower()] = now + min(for_s, MAX_WAIVER_S)
        return until

    def trust(self) -> Trust:
        """Give the validator's view, with nothing known yet."""
        return Trust(self.anchors(), self.policy)

    def observe(self, seen: AnchorKeys, wall: int) -> bool:
        """Take in the key set of an anchor's zone that was just authenticated (RFC 5011 §2).

        Tell whether what is trusted, or the state on the way there, has changed.
        """
        roll = self._rolls.get(seen.zone)
        if roll is None:
            return False
        try:
            revoked = roll.revocations(seen.records, seen.signatures, seen.keys, wall, Budget())
        except OverBudget:
            return False
        after = roll.revoke(revoked, wall).observe(seen.keys, wall, seen.original_ttl_s)
        if after == roll:
            return False
        for key in revoked:
            _LOG.warning("trust anchor %d of %s was revoked by its zone", key.tag, to_text(seen.zone))
        self._rolls[seen.zone] = after
        return True

    def state(self, wall: int) -> dict[str, object]:
        """Give what ``save`` writes; ``wall`` is seconds since 1970."""
        return {"rolls": [roll.to_dict(wall) for roll in self._rolls.values() if roll.tracked]}

    def save(self, state: Mapping[str, object]) -> None:
        """Write ``state``; it blocks, and may run in a thread. What goes wrong is logged, once a kind."""
        if self._path is None:
            return
        try:
            state_file.write(self._path, _sealed(json.dumps(state, indent=1).encode()))
        except OSError as error:
            _LOG.warning("the state of the trust anchors is not kept: %s: %s", self._path, error.strerror)


def _restored(saved: Mapping[str, object], zone: bytes, origin: tuple[Anchor, ...]) -> Roll:
    rolls = saved.get("rolls")
    for one in rolls if isinstance(rolls, list) else []:
        with contextlib.suppress(FormatError):
            return restore(one, zone, origin)
    return Roll(zone, origin)


def _load(path: Path) -> dict[str, object]:
    """Give what the file says; nothing if it is missing, broken, too large or somebody else's."""
    octets = state_file.read(path, MAX_FILE)
    if octets is None:
        return {}
    try:
        found = json.loads(_unsealed(octets))
    except (ValueError, RecursionError):  # a bit has turned, or somebody has edited it
        _LOG.warning("%s is left out, trust begins anew: it is damaged", path)
        return {}
    return found if isinstance(found, dict) else {}


def _sealed(octets: bytes) -> bytes:
    """Put a line in front by which ``_unsealed`` finds damage; it keeps nobody from writing another."""
    return b"%s %s\n%s" % (SEAL, blake2b(octets, digest_size=20).hexdigest().encode(), octets)


def _unsealed(octets: bytes) -> bytes:
    """Give what was sealed.

    Raises:
        ValueError: it is not as it was written.
    """
    content = octets.partition(b"\n")[2]
    if octets != _sealed(content):
        raise ValueError("damaged")
    return content
