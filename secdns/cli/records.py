"""Read and show record types and records as text; dnspython knows how each type is written."""

import difflib

import click

from secdns.dns.message import Record
from secdns.iana import RRClass, RRType

#: types that are no question to a resolver: pseudo records, zone transfers, and the obsolete
#: MAILA and MAILB that nobody answers (RFC 6891 §6.1.1, RFC 8945, RFC 2930, RFC 5936, RFC 1995)
NOT_ASKED = frozenset(
    {RRType.OPT, RRType.TSIG, RRType.TKEY, RRType.AXFR, RRType.IXFR, RRType.MAILA, RRType.MAILB}
)


def type_from_text(text: str) -> int:
    """Give the number of a type written as ``AAAA``, ``aaaa`` or ``TYPE28`` (RFC 3597 §5).

    Raises:
        click.BadParameter: no such type, or one that cannot be asked for.
    """
    from dns import exception, rdatatype

    try:
        rrtype = int(rdatatype.from_text(text))
    except (exception.DNSException, ValueError) as failure:
        near = difflib.get_close_matches(text.upper(), [known.name for known in RRType], n=1)
        wanted = f"did you mean {near[0]}?" if near else "want one like A, AAAA, MX, TXT, HTTPS or TYPE65"
        raise click.BadParameter(f"{text!r} is not a record type, {wanted}") from failure
    if rrtype == 0 or rrtype in NOT_ASKED:
        raise click.BadParameter(f"{text.upper()} is not a type that can be asked of a resolver")
    return rrtype


def type_to_text(rrtype: int) -> str:
    """Give the mnemonic of a type, else ``TYPE12345`` (RFC 3597 §5)."""
    from dns import rdatatype

    return rdatatype.to_text(rdatatype.RdataType.make(rrtype))


def class_to_text(rrclass: int) -> str:
    """Give the mnemonic of a class, else ``CLASS4660`` (RFC 3597 §5)."""
    try:
        return RRClass(rrclass).name
    except ValueError:
        return f"CLASS{rrclass}"


def data_to_text(record: Record) -> str:
    r"""Give a record's data in presentation form, or as ``\# length hex`` (RFC 3597 §5).

    The generic form also stands for data that breaks the rules of its type, or that has no octet
    to show: it must be seen, and what dnspython throws at such data is not worth a list.
    """
    from dns import rdata, rdataclass, rdatatype

    try:
        kind = rdataclass.RdataClass.make(record.rrclass), rdatatype.RdataType.make(record.rrtype)
        text = rdata.from_wire(*kind, record.rdata, 0, len(record.rdata)).to_text()
    except Exception:
        text = ""
    return text or f"\\# {len(record.rdata)} {record.rdata.hex()}".rstrip()
