"""The signed tree: the root, ``test.`` and what is below it, as text, and how each zone is signed or broken.

Most zones have the same data, and the full ones the same children, so that one list of questions fits them
all; what differs is who signed a zone, with which algorithm, and how it denies.
"""

from dataclasses import dataclass
from enum import Enum

from tests.lab.dnssec.signers import DAY_S, NSEC3, Signing

_APEX = """\
$TTL 300
@            SOA    ns Hostmaster 1 7200 3600 1209600 300
@            NS     ns
ns           A      127.0.0.1
"""

PLAIN = """\
www          A      192.0.2.1
www          AAAA   2001:db8::1
back         CNAME  www.p256-knot.test.
*.wild       A      192.0.2.77
"""
"""An unsigned zone that chains go through."""

SMALL = """\
www          A      192.0.2.1
alias        CNAME  www
*.wild       A      192.0.2.77
ent.of       A      192.0.2.3
"""

FULL = """\
@            MX     10 mail
www          A      192.0.2.2
www          A      192.0.2.1
www          AAAA   2001:db8::1
MiXeD        A      192.0.2.3
zero       0 A      192.0.2.6
dot\\.label   A      192.0.2.8
nul\\000label A      192.0.2.9
zz*          A      192.0.2.10
alias        CNAME  www
first        CNAME  alias
dangling     CNAME  gone
wilder       CNAME  some.wild
sibling      CNAME  www.p384-bind.test.
out          CNAME  www.plain.test.
there.back   CNAME  back.plain.test.
broken       CNAME  www.expired-bind.test.
delegated    CNAME  www.unsigned
*.wild       A      192.0.2.77
*.wild       TXT    "any name"
known.wild   A      192.0.2.78
*.alias      CNAME  www
*.away       CNAME  www.plain.test.
*.nowhere    CNAME  gone
deep.er.ent  A      192.0.2.4
one.two.three.four.five.six.seven.eight A 192.0.2.5
moved        DNAME  ent
moved-out    DNAME  plain.test.
moved-wild   DNAME  wild
""" + "".join(f"many         A      198.51.100.{i}\n" for i in range(100))

TYPES = """\
mail         A      192.0.2.25
types        MX     10 MAIL.Example.TEST.
types        SRV    1 2 5060 WWW.Example.TEST.
types        NAPTR  100 10 "u" "E2U+sip" "!^.*$!sip:info@example.test!" Regex.Example.TEST.
types        RP     Person.Example.TEST. Text.Example.TEST.
types        KX     1 KX.Example.TEST.
types        AFSDB  1 AFS.Example.TEST.
types        RT     10 Relay.Example.TEST.
types        LOC    52 22 23.000 N 4 53 32.000 E -2.00m 0.00m 10000m 10m
types        HINFO  "CPU" "OS"
types        TXT    "two" "strings"
types        TXT    ""
types        CAA    0 issue "ca.example.test"
types        URI    10 1 "https://example.test/"
types        SSHFP  4 2 E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855
types        TLSA   3 1 1 E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855
types        CERT   1 0 0 AAAA
types        APL    1:192.0.2.0/24
types        TYPE65280 \\# 6 DEADBEEF0001
types        TYPE65281 \\# 0
ptr          PTR    Host.Example.TEST.
service      TYPE64 \\# 20 0001 03575757 074578616D706C65 0454455354 00
service      TYPE65 \\# 3 000100
"""
"""Names in capitals within RDATA: which of them count in lower case is what RFC 6840 §5.1 settles."""


class DS(Enum):
    """What the parent says of a zone."""

    NONE = "no DS"
    SHA256 = "digest type 2"
    SHA384 = "digest type 4"
    SHA1 = "digest type 1 alone"
    WRONG = "of a key that the zone does not have"
    ALTERED = "the right key tag, another digest"
    UNKNOWN_ALGORITHM = "of an algorithm that is not assigned"
    UNKNOWN_DIGEST = "of a digest type that is not assigned"
    BESIDE_UNKNOWN = "digest type 2, beside ones that nobody knows"


class Break(Enum):
    """What is done to a zone after it was signed."""

    STRIPPED = "www A has no signature"
    TAMPERED = "www A is another address"
    NO_DENIALS = "no NSEC and no NSEC3"
    NO_KEYS = "no DNSKEY"
    FOREIGN_KEYS = "the DNSKEY RRset has a key more than was signed"


class Worth(Enum):
    """What a validator should make of a zone's data."""

    SECURE = "secure"
    INSECURE = "insecure"
    BOGUS = "bogus"


@dataclass(frozen=True, slots=True)
class Zone:
    """A zone, its data, and what its data is worth."""

    name: str
    body: str
    signing: Signing | None = None
    ds: DS = DS.SHA256
    broken: Break | None = None
    worth: Worth = Worth.SECURE

    @property
    def text(self) -> str:
        return f"$ORIGIN {self.name.rstrip('.')}.\n{_APEX}{self.body}"

    @property
    def depth(self) -> int:
        return 0 if self.name == "." else self.name.count(".") + 1


ROOT = Zone(".", "", Signing("bind", 8, is_split=True))
TEST = Zone("test", "", Signing("bind", 13, is_split=True))

GOOD = (
    Zone("rsa256-bind.test", FULL + TYPES, Signing("bind", 8, is_split=True)),
    Zone("rsa512-ldns.test", SMALL, Signing("ldns", 10, NSEC3())),
    Zone("p256-knot.test", FULL + TYPES, Signing("knot", 13)),
    Zone("p256-ldns.test", FULL + TYPES, Signing("ldns", 13), DS.BESIDE_UNKNOWN),
    Zone("p384-bind.test", FULL, Signing("bind", 14, NSEC3(10, "feed")), DS.SHA384),
    Zone("ed25519-knot.test", FULL, Signing("knot", 15, NSEC3(5, "abcd"))),
    Zone("ed448-bind.test", SMALL, Signing("bind", 16)),
    Zone("ed448-ldns.test", FULL, Signing("ldns", 16, NSEC3(50, "00112233"))),
    Zone("optout-bind.test", FULL, Signing("bind", 13, NSEC3(opt_out=True))),
    Zone("optout-knot.test", FULL, Signing("knot", 13, NSEC3(1, "abcd", opt_out=True))),
    Zone("optout-ldns.test", FULL, Signing("ldns", 15, NSEC3(1, "abcd", opt_out=True))),
)
"""Zones that are all right: every signer with NSEC, NSEC3 and opt-out, and every algorithm."""

ODD = (
    Zone("plain.test", PLAIN, None, DS.NONE, worth=Worth.INSECURE),
    Zone("island.test", SMALL, Signing("knot", 13), DS.NONE, worth=Worth.INSECURE),
    Zone("sha1.test", SMALL, Signing("bind", 7, NSEC3()), worth=Worth.INSECURE),
    Zone("sha1-ds.test", SMALL, Signing("ldns", 13), DS.SHA1, worth=Worth.INSECURE),
    Zone("algorithm.test", SMALL, Signing("knot", 13), DS.UNKNOWN_ALGORITHM, worth=Worth.INSECURE),
    Zone("digest.test", SMALL, Signing("ldns", 13), DS.UNKNOWN_DIGEST, worth=Worth.INSECURE),
    Zone("iterations51.test", SMALL, Signing("bind", 13, NSEC3(51, "abcd"))),
    Zone("iterations500.test", SMALL, Signing("ldns", 13, NSEC3(500, "abcd"))),
    Zone("old.test", SMALL, Signing("ldns", 13, begins_s=-20 * DAY_S, ends_s=-DAY_S // 2)),
)
"""Zones that cannot be checked, or not in full, without anybody's fault."""

BROKEN = (
    Zone(
        "expired-bind.test",
        SMALL,
        Signing("bind", 13, begins_s=-30 * DAY_S, ends_s=-6 * DAY_S),
        worth=Worth.BOGUS,
    ),
    Zone(
        "future-knot.test",
        SMALL,
        Signing("knot", 13, begins_s=6 * DAY_S, ends_s=20 * DAY_S),
        worth=Worth.BOGUS,
    ),
    Zone("wrong-ds.test", SMALL, Signing("ldns", 15), DS.WRONG, worth=Worth.BOGUS),
    Zone("altered-ds.test", SMALL, Signing("bind", 13, NSEC3()), DS.ALTERED, worth=Worth.BOGUS),
    Zone("no-keys.test", SMALL, Signing("knot", 13), broken=Break.NO_KEYS, worth=Worth.BOGUS),
    Zone("foreign.test", SMALL, Signing("ldns", 13), broken=Break.FOREIGN_KEYS, worth=Worth.BOGUS),
    Zone("stripped.test", SMALL, Signing("knot", 13), broken=Break.STRIPPED),
    Zone("tampered.test", SMALL, Signing("bind", 8), broken=Break.TAMPERED),
    Zone("no-nsec.test", SMALL, Signing("ldns", 13), broken=Break.NO_DENIALS),
    Zone("no-nsec3.test", SMALL, Signing("knot", 15, NSEC3(1, "abcd")), broken=Break.NO_DENIALS),
)
"""Zones that somebody broke; of the last four a part is still good."""


def _children() -> tuple[Zone, ...]:
    """Give the children of the full zones; the signer changes at the cut."""
    after = {"bind": "knot", "knot": "ldns", "ldns": "bind"}
    children: list[Zone] = []
    for zone in GOOD:
        assert zone.signing is not None
        if zone.body == SMALL:
            continue
        signing = Signing(after[zone.signing.signer], 13, NSEC3() if zone.signing.nsec3 is None else None)
        children.append(Zone(f"signed.{zone.name}", SMALL, signing))
        children.append(Zone(f"unsigned.{zone.name}", SMALL, None, DS.NONE, worth=Worth.INSECURE))
        children.append(Zone(f"cut.two.down.{zone.name}", SMALL, None, DS.NONE, worth=Worth.INSECURE))
    return tuple(children)


ZONES = (ROOT, TEST, *GOOD, *ODD, *BROKEN, *_children())
