"""What validation gives, and what it asks on the way (RFC 4033 §5, RFC 4035 §4.3)."""

from collections.abc import Generator
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

from secdns.dns.message import Message
from secdns.iana import EDE

if TYPE_CHECKING:
    from secdns.dnssec.aggressive import Denied
    from secdns.dnssec.chain import AnchorKeys

MAX_TTL = 86_400  # seconds; nothing is kept longer on the word of a signature


class Status(Enum):
    """The security status of an RRset, a zone or a whole answer (RFC 4035 §4.3)."""

    SECURE = "secure"  # a chain of signatures leads from a trust anchor to it
    INSECURE = "insecure"  # proven to have no chain: the zone is not signed, or not in a way we can check
    BOGUS = "bogus"  # there should be a chain and it is broken
    INDETERMINATE = "indeterminate"  # what would tell could not be had


class Ask(NamedTuple):
    """A question that validation needs answered, of class IN, with DO and CD set.

    ``name`` is in wire form and lower case.
    """

    name: bytes
    rrtype: int


@dataclass(frozen=True, slots=True)
class Reason:
    """Why something is not secure: an Extended DNS Error (RFC 8914 §4) and half a sentence.

    ``ede`` is None where there is nothing to complain about: most zones are not signed. ``text``
    names the zone, and what else a person needs: key tag, times. Lower case, no period.
    """

    ede: EDE | None
    text: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a whole answer is worth.

    ``reason`` is None if and only if all of it is secure. ``message`` holds only the records that
    carry the verdict, whatever else came is left out; it is the very object that came if nothing
    was. ``ttl_s`` is how long it may be kept on account of its signatures (RFC 4035 §5.3.3).
    ``zone`` is where the chain broke, None if it did not or if the records themselves are at fault.
    ``denied`` is what a secure denial rests on; other names may be denied by it (RFC 8198).
    ``anchor_keys`` are the keys of a trust anchor's zone, if they were seen on the way (RFC 5011).
    ``nxname``: a proven NODATA says that the name does not exist at all (RFC 9824).
    """

    status: Status
    message: Message
    reason: Reason | None = None
    ttl_s: int = MAX_TTL
    zone: bytes | None = None
    denied: "Denied | None" = None
    anchor_keys: "AnchorKeys | None" = None
    nxname: bool = False


Batch = tuple[Ask, ...]
Answers = tuple[Message | None, ...]  # in the order of the asks; None: there was no usable answer
Validation = Generator[Batch, Answers, Verdict]
"""An empty batch asks nothing: it gives the event loop a turn, and is sent an empty tuple."""
