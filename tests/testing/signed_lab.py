"""A hierarchy with one zone for each kind of denial, all with the same names in them, and what to ask."""

from dataclasses import dataclass

from secdns.dns import name as names
from secdns.dns.edns import EDNS
from secdns.dns.message import Message, Record, make_query
from secdns.iana import DNSSECAlgorithm, RCode, RRType
from secdns.testing import SignedZones, Signing, ZoneData, Zones
from secdns.testing.denials import Denial

KINDS: tuple[Denial, ...] = ("nsec", "nsec3", "opt-out", "compact")
NEXT = dict(zip(KINDS, (*KINDS[1:], KINDS[0]), strict=True))

LEAF: ZoneData = {"www": {"A": "192.0.2.1"}, "*": {"TXT": "any"}}


def zone_data(other: str) -> ZoneData:
    """Give one of each thing that is answered in its own way; ``other`` is where aliases lead."""
    return {
        "@": {"MX": "10 mail", "A": "192.0.2.1"},
        "www": {"A": ["192.0.2.1", "192.0.2.2"], "AAAA": "2001:db8::1"},
        "UPPER": {"MX": "10 Mail.Example.TEST.", "SRV": "0 0 1 Mail"},
        "a.ent": {"A": "192.0.2.5"},
        "*.wild": {"A": "192.0.2.42", "MX": "5 mail"},
        "real.wild": {"A": "192.0.2.43"},
        "*.walias": {"CNAME": "www"},
        "alias": {"CNAME": "www"},
        "across": {"CNAME": f"www.{other}."},
        "faraway": {"CNAME": f"x.y.wild.{other}."},
        "dangling": {"CNAME": "nothing"},
        "lost": {"CNAME": f"nothing.{other}."},
        "unsafe": {"CNAME": "www.unsigned"},
        "moved": {"DNAME": f"tree.{other}."},
        "leaf.tree": {"A": "192.0.2.7"},
        "long": {"DNAME": f"{'x' * 63}.{'y' * 63}.{'z' * 63}.{other}."},
        "txt": {"TXT": "hello", "TYPE65280": r"\# 3 010203"},
    }


def zones() -> SignedZones:
    """Give the hierarchy: root (NSEC) -> test (NSEC3) -> one zone a kind -> children of each."""
    data: dict[str, ZoneData] = {}
    signing = {".": Signing(), "test": Signing(denial="nsec3", salt=b"\xab\xcd", iterations=1)}
    for kind in KINDS:
        apex = f"{kind}.test"
        data[apex] = zone_data(f"{NEXT[kind]}.test")
        data[f"signed.{apex}"] = data[f"unsigned.{apex}"] = data[f"hid.den.{apex}"] = LEAF
        algorithm = DNSSECAlgorithm.ED25519 if kind == "nsec3" else DNSSECAlgorithm.ECDSAP256SHA256
        signing[apex] = Signing(denial=kind, algorithms=(algorithm,))
        signing[f"signed.{apex}"] = Signing(is_split=False)
    return SignedZones(data, signing)


@dataclass(frozen=True, slots=True)
class Row:
    """A question, the RCODE of its answer, and where the proof in it is from.

    ``proof`` is "here", the zone of the question, or "there", the one where aliases lead, if there is a
    proof that opt-out would weaken or that compact denial would turn into NODATA.
    """

    qname: str
    rrtype: int
    rcode: int = RCode.NOERROR
    proof: str = ""
    is_insecure: bool = False

    def name(self, kind: Denial) -> str:
        """Give QNAME in the zone of a kind."""
        return f"{kind}.test" if self.qname == "@" else f"{self.qname}.{kind}.test"

    def _proven_by(self, kind: Denial) -> str:
        return {"here": kind, "there": NEXT[kind]}.get(self.proof, "")

    def is_weak(self, kind: Denial) -> bool:
        """Tell whether opt-out keeps the answer from being secure (RFC 5155 §9.2)."""
        return self._proven_by(kind) == "opt-out"

    def rcode_with_do(self, kind: Denial) -> int:
        """Give the RCODE that comes with signatures (RFC 9824)."""
        is_hidden = self._proven_by(kind) == "compact" and self.rcode == RCode.NXDOMAIN
        return RCode.NOERROR if is_hidden else self.rcode

    def __str__(self) -> str:
        known = {int(rrtype): rrtype.name for rrtype in RRType}
        return f"{self.qname[-24:]} {known.get(self.rrtype, self.rrtype)}"


T = RRType
NX = RCode.NXDOMAIN
ROWS = (
    Row("www", T.A),
    Row("www", T.TXT),
    Row("www", T.ANY),
    Row("www", T.NSEC),
    Row("@", T.A),
    Row("@", T.TXT),
    Row("@", T.SOA),
    Row("@", T.NS),
    Row("@", T.DS),
    Row("@", T.DNSKEY),
    Row("@", T.NSEC3PARAM),
    Row("UPPER", T.MX),
    Row("UPPER", T.SRV),
    Row("txt", 65280),
    Row("ent", T.A),
    Row("no", T.A, NX, "here"),
    Row("no.no.ent", T.A, NX, "here"),
    Row("no.www", T.A, NX, "here"),
    Row("x.wild", T.A, proof="here"),
    Row("x.y.wild", T.A, proof="here"),
    Row("x.wild", T.TXT, proof="here"),
    Row("x.y.wild", T.TXT, proof="here"),
    Row("*.wild", T.A),
    Row("*.wild", T.TXT),
    Row("real.wild", T.A),
    Row("x.real.wild", T.A, NX, "here"),
    Row("x.walias", T.A, proof="here"),
    Row("x.walias", T.TXT, proof="here"),
    Row("alias", T.A),
    Row("alias", T.CNAME),
    Row("alias", T.TXT),
    Row("across", T.A),
    Row("faraway", T.A, proof="there"),
    Row("dangling", T.A, NX, "here"),
    Row("lost", T.A, NX, "there"),
    Row("unsafe", T.A, is_insecure=True),
    Row("moved", T.A),
    Row("moved", T.DNAME),
    Row("leaf.moved", T.A),
    Row("no.moved", T.A, NX, "there"),
    Row(f"{'q' * 63}.long", T.A, RCode.YXDOMAIN),
    Row("signed", T.DS),
    Row("unsigned", T.DS, proof="here"),
    Row("hid.den", T.DS, proof="here"),
    Row("den", T.DS, proof="here"),
    Row("den", T.A, proof="here"),
    Row("www", T.DS),
    Row("no", T.DS, NX, "here"),
    Row("www.signed", T.A),
    Row("x.signed", T.TXT),
    Row("x.signed", T.A),
    Row("x.y.signed", T.TXT),
    Row("www.unsigned", T.A, is_insecure=True),
    Row("www.hid.den", T.A, is_insecure=True),
    Row("x.unsigned", T.TXT, is_insecure=True),
    Row("no.www.unsigned", T.MX, NX, is_insecure=True),
)


def ask(zones: Zones, qname: str | bytes, rrtype: int, *, do: bool = True, cd: bool = False) -> Message:
    """Give the reply to a question with DO."""
    owner = qname if isinstance(qname, bytes) else names.from_text(qname)
    return Message.parse(zones.answer(make_query(owner, rrtype, id=7, cd=cd, edns=EDNS(do=do))))


def of_type(records: tuple[Record, ...], rrtype: int) -> list[Record]:
    return [record for record in records if record.rrtype == rrtype]
