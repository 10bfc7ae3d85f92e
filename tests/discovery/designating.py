"""Have a testing upstream designate endpoints, as RFC 9461 writes them."""

from collections.abc import Sequence

import dns.rdata
import dns.rdataclass
import dns.rdatatype

from secdns.dns.message import QR, RA, Message, Record
from secdns.dns.name import from_text
from secdns.iana import RCode, RRClass, RRType
from secdns.testing import FakeUpstream

NAME = from_text("_dns.resolver.arpa")


def svcb(text: str) -> bytes:
    """Give the RDATA of a record in presentation form, as dnspython writes it."""
    return dns.rdata.from_text(dns.rdataclass.IN, dns.rdatatype.SVCB, text).to_wire() or b""


def designate(
    up: FakeUpstream,
    *records: str | bytes,
    owner: bytes = NAME,
    rcode: int = RCode.NOERROR,
    additional: Sequence[Record] = (),
) -> None:
    """Have ``up`` answer with these records, and everything else as before."""
    otherwise = up.answer
    rdata = [svcb(record) if isinstance(record, str) else record for record in records]
    answer = tuple(Record(owner, RRType.SVCB, RRClass.IN, 300, each) for each in rdata)

    def reply(query: bytes) -> bytes:
        asked = Message.parse(query)
        (question,) = asked.question
        if (question.name.lower(), question.rrtype) != (NAME, RRType.SVCB):
            return otherwise(query)
        flags = QR | RA | rcode
        return Message(asked.id, flags, asked.question, answer, additional=tuple(additional)).to_wire()

    up.answer = reply
