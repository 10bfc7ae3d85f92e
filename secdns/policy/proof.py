"""Answer names that prove that a look-up came here, and nowhere else.

Below ``secdns.internal`` every single label has an address in 127.0.0.0/8 that is made from the
label and from a key that lives in this process only. Whoever wants to know whether the system's
resolver leads here asks us directly for a name that nobody has asked for before, lets the system look up the
same name, and compares: another resolver cannot know the address. ``internal`` is reserved for
private use, so where the system does ask another resolver, no more than a random label is told.
"""

from hashlib import blake2s

from secdns.dns.message import Question, Record
from secdns.dns.name import from_text, labels
from secdns.iana import EDE, RCode, RRClass, RRType
from secdns.policy.decision import Answer, Watch, nothing_here

ZONE_TEXT = "secdns.internal"
ZONE = from_text(ZONE_TEXT)
TTL_S = 1  # each name is asked for once

_DEPTH = len(labels(ZONE))


class Proof:
    """Serves the zone. Without a ``key`` it is empty: nobody listens whom it could lead to."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def watch(self) -> Watch:
        """Give the zone."""
        return Watch(suffixes=(ZONE,))

    def decide(self, question: Question, now: float) -> Answer | None:
        """Give the address of a name one label below the zone, and denials for the rest of it."""
        parts = labels(question.name.lower())
        if parts[-_DEPTH:] != labels(ZONE):
            return None
        below = len(parts) - _DEPTH
        if below > 1 or (below == 1 and not self._key):
            return nothing_here(ZONE, TTL_S, RCode.NXDOMAIN, EDE.OTHER, "")
        if below == 0 or question.rrtype not in (RRType.A, RRType.ANY):
            return nothing_here(ZONE, TTL_S, RCode.NOERROR, EDE.OTHER, "")
        rdata = b"\x7f" + blake2s(parts[0], key=self._key, digest_size=3).digest()
        record = Record(question.name, RRType.A, RRClass.IN, TTL_S, rdata)
        return Answer(RCode.NOERROR, (record,), reason="proves that look-ups come here")
