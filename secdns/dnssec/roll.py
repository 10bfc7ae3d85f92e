"""Follow the keys of a trust anchor as its zone changes them (RFC 5011).

    (not known) --seen--> PENDING --hold-down over--> VALID <--> MISSING
                             |                          |           |
                          not seen                  revoked     revoked
                             v                          v           v
                        (not known)                  REVOKED --hold-down over--> REMOVED

Everything happens when a DNSKEY RRset is observed that a trusted key signed, but for a revocation,
which takes the signature of the revoked key itself. VALID and MISSING keys are trusted, and so is
every DS or key the program began with until its key is revoked. A zone all of whose anchors are
revoked has none left; RFC 5011 §5 would then stop validating, which is what an attacker wants: here
its names are bogus until the program or its configuration brings an anchor.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Final

from secdns import BUILT_AT
from secdns.dns.message import Record
from secdns.dns.name import to_text
from secdns.dnssec.algorithms import DEFAULT, Policy
from secdns.dnssec.anchors import Anchor, matches, parse_all, shown
from secdns.dnssec.limits import ANCHOR_KEYS, Budget
from secdns.dnssec.rrsig import PROTOCOL, REVOKE, Key, Signature, Verified, read_key, verify
from secdns.errors import FormatError
from secdns.iana import RRClass, RRType

HOLD_DOWN_S: Final = 30 * 86400  # both to add and to remove (RFC 5011 §2.4)
VERSION: Final = 1

_HOUR: Final = 3600
_DAY: Final = 86400


class State(Enum):
    """What a key is to us (RFC 5011 §4.2); one that is not known is in Start."""

    PENDING = "pending"
    VALID = "valid"
    MISSING = "missing"
    REVOKED = "revoked"
    REMOVED = "removed"


_TRUSTED: Final = frozenset({State.VALID, State.MISSING})
_VOID: Final = frozenset({State.REVOKED, State.REMOVED})


@dataclass(frozen=True, slots=True)
class Tracked:
    """A key and its state; ``due``, in seconds since 1970, is when the hold-down is over."""

    rdata: bytes  # of the DNSKEY, the REVOKE bit clear
    state: State
    due: int = 0


@dataclass(frozen=True, slots=True)
class Roll:
    """The trust anchors of one zone over time. ``origin`` is what the program began with."""

    zone: bytes  # lower case
    origin: tuple[Anchor, ...]
    tracked: tuple[Tracked, ...] = ()

    def anchors(self, policy: Policy = DEFAULT) -> tuple[Anchor, ...]:
        """Give what is trusted now; nothing means that every anchor was revoked."""
        void = [_key(self.zone, one.rdata) for one in self.tracked if one.state in _VOID]
        kept = [anchor for anchor in self.origin if not any(matches(anchor, key) for key in void)]
        learnt = [_key(self.zone, one.rdata, policy) for one in self.tracked if one.state in _TRUSTED]
        return (*kept, *(key for key in learnt if not _is_any(kept, key)))

    def revocations(
        self,
        records: Sequence[Record],
        signatures: Sequence[Signature],
        keys: Iterable[Key],
        wall: int,
        budget: Budget,
    ) -> tuple[Key, ...]:
        """Give the trusted keys that a DNSKEY RRset revokes: each signed it itself (RFC 5011 §2.1).

        Raises:
            OverBudget: the budget has no signature check left.
        """
        trusted = self.anchors()
        found = []
        for key in keys:
            before = _key(self.zone, _unrevoked(key.rdata))
            if key.is_revoked and _is_any(trusted, before):
                # Its tag is that of the revoked form; only the flag would make verify() refuse it.
                able = replace(key, flags=key.flags & ~REVOKE)
                outcome = verify(
                    self.zone, RRType.DNSKEY, records, signatures, self.zone, [able], wall, budget
                )
                if isinstance(outcome, Verified):
                    found.append(key)
        return tuple(found)

    def revoke(self, keys: Iterable[Key], wall: int) -> "Roll":
        """Give what follows when these keys revoked themselves, at once and for good (RFC 5011 §2.1)."""
        tracked = {one.rdata: one for one in self.tracked}
        for key in keys:
            rdata = _unrevoked(key.rdata)
            known = tracked.get(rdata)
            if known is not None and known.state is State.PENDING:
                del tracked[rdata]
            elif known is None or known.state in _TRUSTED:
                tracked[rdata] = Tracked(rdata, State.REVOKED, wall + HOLD_DOWN_S)
        return replace(self, tracked=tuple(tracked.values()))

    def observe(self, keys: Iterable[Key], wall: int, original_ttl_s: int = 0) -> "Roll":
        """Give what follows from the keys of a DNSKEY RRset that a trusted key signed.

        ``wall`` is seconds since 1970. ``original_ttl_s`` is that of the RRSIG: a new key waits
        for it where it is longer than 30 days (RFC 5011 §2.4.1).
        """
        keys = tuple(keys)
        present = {_unrevoked(key.rdata) for key in keys if key.is_revoked}
        # A key we cannot check with must never become the only anchor: the zone would be insecure.
        fit = [
            key
            for key in keys
            if key.is_secure_entry_point
            and key.is_zone_key
            and not key.is_revoked
            and key.protocol == PROTOCOL
            and key.verifier is not None
        ]
        seen = {key.rdata for key in fit}
        after = [one for known in self.tracked if (one := self._next(known, seen, present, wall))]
        names = {known.rdata for known in self.tracked}
        for key in fit:
            if key.rdata in names:
                continue
            if self._began_with(key):
                after.append(Tracked(key.rdata, State.VALID))
            elif len(after) < ANCHOR_KEYS.default:
                after.append(Tracked(key.rdata, State.PENDING, wall + max(HOLD_DOWN_S, original_ttl_s)))
            names.add(key.rdata)
        return replace(self, tracked=tuple(after))

    def _next(self, known: Tracked, seen: set[bytes], present: set[bytes], wall: int) -> Tracked | None:
        """Give one key after an observation, None if it is forgotten (the table of RFC 5011 §4)."""
        is_seen = known.rdata in seen
        match known.state:
            case State.PENDING:
                if not is_seen:
                    return None
                return Tracked(known.rdata, State.VALID) if wall >= known.due else known
            case State.VALID | State.MISSING:
                return Tracked(known.rdata, State.VALID if is_seen else State.MISSING)
            case State.REVOKED if known.rdata in present:
                return replace(known, due=wall + HOLD_DOWN_S)
            case State.REVOKED if wall >= known.due:
                # Remembered only where forgetting it would bring the anchor back.
                is_origin = self._began_with(_key(self.zone, known.rdata))
                return Tracked(known.rdata, State.REMOVED) if is_origin else None
        return known

    def _began_with(self, key: Key) -> bool:
        return _is_any(self.origin, key)

    def to_dict(self, wall: int) -> dict[str, object]:
        """Give the state as JSON takes it; ``wall`` is when it is saved, in seconds since 1970."""
        return {
            "version": VERSION,
            "saved": wall,
            "zone": to_text(self.zone),
            "origin": [shown(anchor) for anchor in self.origin],
            "keys": [
                {"rdata": one.rdata.hex(), "state": one.state.value, "due": one.due} for one in self.tracked
            ],
        }


def restore(saved: object, zone: bytes, origin: tuple[Anchor, ...], built_at: int = BUILT_AT) -> Roll:
    """Give the roll that ``to_dict`` gave, under the anchors this program begins with.

    A state saved before ``built_at`` is older than the program and is dropped. One that began
    with other anchors loses what it trusted on account of those alone.

    Raises:
        FormatError: this is no saved state of the zone; begin anew with ``Roll(zone, origin)``.
    """
    fields = saved if isinstance(saved, dict) else {}
    if fields.get("version") != VERSION or fields.get("zone") != to_text(zone):
        raise FormatError(f"no saved trust anchors of {to_text(zone)} in version {VERSION}")
    when, texts, keys = fields.get("saved"), fields.get("origin"), fields.get("keys")
    if not isinstance(when, int) or not isinstance(texts, list) or not isinstance(keys, list):
        raise FormatError("the saved trust anchors lack saved, origin or keys")
    if len(keys) > ANCHOR_KEYS.most or not all(isinstance(text, str) for text in texts):
        raise FormatError(f"the saved trust anchors have {len(keys)} keys, or an origin that is no text")
    tracked = tuple(_read_tracked(one) for one in keys)
    began_with = parse_all(texts)
    if when < built_at:
        return Roll(zone, origin)
    given_up = [anchor for anchor in began_with if anchor not in origin]
    lost = [one for one in tracked if one.state in _TRUSTED and _is_any(given_up, _key(zone, one.rdata))]
    return Roll(zone, origin, tuple(one for one in tracked if one not in lost))


def refresh_s(original_ttl_s: int, expires_in_s: int, *, failed: bool = False) -> int:
    """Give the seconds until the DNSKEY RRset should be looked at again (RFC 5011 §2.3)."""
    if failed:
        return max(_HOUR, min(_DAY, original_ttl_s // 10, expires_in_s // 10))
    return max(_HOUR, min(15 * _DAY, original_ttl_s // 2, expires_in_s // 2))


def _unrevoked(rdata: bytes) -> bytes:
    """Give DNSKEY RDATA with the REVOKE bit clear, which is the same key."""
    return rdata[:1] + bytes([rdata[1] & ~REVOKE]) + rdata[2:]


def _key(zone: bytes, rdata: bytes, policy: Policy = DEFAULT) -> Key:
    return read_key(Record(zone, RRType.DNSKEY, RRClass.IN, 0, rdata), policy)


def _is_any(anchors: Iterable[Anchor], key: Key) -> bool:
    return any(matches(anchor, key) for anchor in anchors)


def _read_tracked(saved: object) -> Tracked:
    fields = saved if isinstance(saved, dict) else {}
    rdata, due = fields.get("rdata"), fields.get("due")
    try:
        state = State(fields.get("state"))
        octets = bytes.fromhex(rdata) if isinstance(rdata, str) else b""
    except ValueError:
        raise FormatError("a saved trust anchor of no known state, or not in hexadecimal") from None
    if not 4 < len(octets) < 65536 or not isinstance(due, int) or octets != _unrevoked(octets):
        raise FormatError("a saved trust anchor lacks its key or its time")
    return Tracked(octets, state, due)
