"""Sort the records of a section into RRsets and the signatures that cover them."""

from collections.abc import Iterable, Iterator, Sequence

from secdns.dns.message import Record
from secdns.dnssec.rrsig import Key, Signature, read_signature
from secdns.errors import FormatError
from secdns.iana import RRClass, RRType

_RRSIG = int(RRType.RRSIG)
_IN = int(RRClass.IN)


class Signed:
    """One RRset and its RRSIGs. ``owner`` is in lower case."""

    __slots__ = ("covering", "owner", "records", "rrtype", "signatures")

    def __init__(self, owner: bytes, rrtype: int) -> None:
        self.owner = owner
        self.rrtype = rrtype
        self.records: list[Record] = []
        self.signatures: list[Signature] = []
        self.covering: list[Record] = []  # the RRSIG records that ``signatures`` were read from

    def all_records(self) -> list[Record]:
        """Give the records and the RRSIGs."""
        return self.records + self.covering

    def signed_by(self, zone: bytes, keys: Sequence[Key]) -> "Signed":
        """Give the RRset with those RRSIGs only that name one of the keys of ``zone``."""
        ids = {(key.tag, key.algorithm) for key in keys}
        signed = Signed(self.owner, self.rrtype)
        signed.records = self.records
        for signature, record in zip(self.signatures, self.covering, strict=True):
            if signature.signer == zone and (signature.key_tag, signature.algorithm) in ids:
                signed.signatures.append(signature)
                signed.covering.append(record)
        return signed

    def signers(self) -> list[bytes]:
        """Give the different signers, the longest name first."""
        signatures = self.signatures
        if len(signatures) == 1:
            return [signatures[0].signer]
        return sorted({signature.signer for signature in signatures}, key=len, reverse=True)


class RRsets:
    """The RRsets of one section by owner and type; those without records are left out.

    A RRSIG that cannot be read covers nothing.
    """

    __slots__ = ("_found",)

    def __init__(self, records: Iterable[Record]) -> None:
        found: dict[tuple[bytes, int], Signed] = {}
        for record in records:
            if record.rrclass != _IN:
                continue
            owner = record.name.lower()
            if record.rrtype != _RRSIG:
                key = (owner, record.rrtype)
                signed = found.get(key)
                if signed is None:
                    signed = found[key] = Signed(owner, record.rrtype)
                signed.records.append(record)
                continue
            try:
                signature = read_signature(record)
            except FormatError:
                continue
            key = (owner, signature.covered)
            signed = found.get(key)
            if signed is None:
                signed = found[key] = Signed(owner, signature.covered)
            signed.signatures.append(signature)
            signed.covering.append(record)
        self._found = found

    def find(self, owner: bytes, rrtype: int) -> Signed | None:
        """Give the RRset of this owner (in lower case) and type, or None."""
        signed = self._found.get((owner, rrtype))
        return signed if signed is not None and signed.records else None

    def at(self, owner: bytes) -> dict[tuple[bytes, int], Signed]:
        """Give all that stands at this owner (in lower case), RRSIGs without an RRset included."""
        return {key: signed for key, signed in self._found.items() if key[0] == owner}

    def of_types(self, *rrtypes: int) -> Iterator[Signed]:
        """Yield the RRsets of these types in the order of the section."""
        for signed in self._found.values():
            if signed.rrtype in rrtypes and signed.records:
                yield signed
