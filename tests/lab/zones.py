"""The zones that the lab's authoritative server serves, and what a right answer to each question is.

Every item names its question and the RCODE and RDATA wanted, in presentation format as ``dig`` prints it;
where clients print a type in different ways (SVCB, SSHFP, unknown types) the item wants None and the test
compares octets with the authoritative server's own answer.
"""

import base64
from dataclasses import dataclass

MANY = 128
"""How many A records ``many.example.test`` has: about 2 KiB, so more than fits a UDP reply of 1232 octets."""

BIG_STRINGS = 20
BIG_STRING = "x" * 250
"""``big.example.test`` TXT has 20 strings of 250 octets: more than 4 KiB."""

LONG_LABEL = "l" * 63
LONG_NAME = ".".join(["a" * 63, "b" * 63, "c" * 63, "d" * 48])
"""With ``example.test`` behind it exactly 255 octets in wire form, the longest name there is."""


def _ech_config_list() -> str:
    """Make an ECHConfigList of one version 0xfe0d configuration, base64 as a zone file wants it."""
    public_name = b"public.example.test"
    contents = b"".join(
        [
            b"\x01\x00\x20",  # config_id, DHKEM(X25519, HKDF-SHA256)
            b"\x00\x20" + bytes(range(32)),  # public key
            b"\x00\x04\x00\x01\x00\x01\x40",  # HKDF-SHA256 with AES-128-GCM; maximum name length 64
            bytes([len(public_name)]) + public_name + b"\x00\x00",
        ]
    )
    config = b"\xfe\x0d" + len(contents).to_bytes(2) + contents
    return base64.b64encode(len(config).to_bytes(2) + config).decode()


_SOA = "3600 IN SOA ns.example.test. hostmaster.example.test. 1 7200 3600 1209600 300"

EXAMPLE = f"""\
$ORIGIN example.test.
@            {_SOA}
@            3600 IN NS    ns
@            3600 IN MX    10 mail
@            3600 IN CAA   0 issue "ca.example.test"
ns           3600 IN A     127.0.0.1
mail         3600 IN A     192.0.2.25
www          3600 IN A     192.0.2.1
www          3600 IN AAAA  2001:db8::1
www          3600 IN TXT   "hello" "two strings"
MiXeD        3600 IN A     192.0.2.2
alias        3600 IN CNAME www
chain1        300 IN CNAME chain2
chain2        200 IN CNAME chain3
chain3        100 IN CNAME www
far          3600 IN CNAME www.corp.test.
dangling     3600 IN CNAME gone
loop1        3600 IN CNAME loop2
loop2        3600 IN CNAME loop1
moved        3600 IN DNAME corp.test.
*.wild       3600 IN A     192.0.2.77
*.wild       3600 IN TXT   "any name"
deep.ent     3600 IN A     192.0.2.3
short           5 IN A     192.0.2.5
zero            0 IN A     192.0.2.6
day         86400 IN A     192.0.2.7
svc          3600 IN HTTPS 1 . alpn="h3,h2" ipv4hint=192.0.2.1 ech="{_ech_config_list()}" ipv6hint=2001:db8::1
svcalias     3600 IN HTTPS 0 svc
_dns         3600 IN SVCB  1 ns alpn="dot,h2" key7="/dns-query{{?dns}}"
odd          3600 IN TYPE65280 \\# 6 DEADBEEF0001
empty        3600 IN TYPE65281 \\# 0
_sip._tcp    3600 IN SRV   1 2 5060 www
host         3600 IN SSHFP 4 2 E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855
_443._tcp    3600 IN TLSA  3 1 1 E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855
enum         3600 IN NAPTR 100 10 "u" "E2U+sip" "!^.*$!sip:info@example.test!" .
dot\\.label   3600 IN A     192.0.2.8
nul\\000label 3600 IN A     192.0.2.9
{LONG_LABEL} 3600 IN A     192.0.2.10
{LONG_NAME}  3600 IN A     192.0.2.11
big          3600 IN TXT   {" ".join([f'"{BIG_STRING}"'] * BIG_STRINGS)}
""" + "".join(f"many 3600 IN A 198.51.100.{i}\n" for i in range(MANY))

CORP = f"""\
$ORIGIN corp.test.
@            {_SOA}
@            3600 IN NS    ns.example.test.
www          3600 IN A     10.1.2.3
printer      3600 IN A     10.1.2.4
"""

ROOT = f"""\
$ORIGIN .
@            {_SOA}
@            3600 IN NS    ns.example.test.
"""

ZONES = {".": ROOT, "example.test": EXAMPLE, "corp.test": CORP}
"""Zone name -> master file. The root is there so that no question of the lab ever leaves the machine."""

BROKEN_ZONE = "broken.test"
"""A zone whose master file is missing: its server answers SERVFAIL."""


@dataclass(frozen=True, slots=True)
class Item:
    """One question and its right answer.

    ``rdata`` is the sorted RDATA of the whole answer section, CNAMEs and all, or None: compare octets.
    """

    name: str
    rrtype: str
    rcode: str = "NOERROR"
    rdata: tuple[str, ...] | None = ()
    large: bool = False

    @property
    def id(self) -> str:
        return f"{self.name[:24]}-{self.rrtype}"


WWW = "www.example.test."

ITEMS = (
    Item("www.example.test", "A", rdata=("192.0.2.1",)),
    Item("www.example.test", "AAAA", rdata=("2001:db8::1",)),
    Item("www.example.test", "TXT", rdata=('"hello" "two strings"',)),
    Item("WwW.eXaMpLe.TeSt", "A", rdata=("192.0.2.1",)),
    Item("mixed.example.test", "A", rdata=("192.0.2.2",)),
    Item("example.test", "NS", rdata=("ns.example.test.",)),
    Item("example.test", "MX", rdata=("10 mail.example.test.",)),
    Item("example.test", "CAA", rdata=('0 issue "ca.example.test"',)),
    Item("example.test", "SOA", rdata=(_SOA.split(" SOA ")[1],)),
    Item("alias.example.test", "A", rdata=("192.0.2.1", WWW)),
    Item("alias.example.test", "CNAME", rdata=(WWW,)),
    Item(
        "chain1.example.test",
        "A",
        rdata=("192.0.2.1", "chain2.example.test.", "chain3.example.test.", WWW),
    ),
    Item("far.example.test", "A", rdata=("10.1.2.3", "www.corp.test.")),
    Item("dangling.example.test", "A", "NXDOMAIN", ("gone.example.test.",)),
    Item("www.moved.example.test", "A", rdata=("10.1.2.3", "corp.test.", "www.corp.test.")),
    Item("anything.wild.example.test", "A", rdata=("192.0.2.77",)),
    Item("a.b.c.wild.example.test", "TXT", rdata=('"any name"',)),
    Item("gone.example.test", "A", "NXDOMAIN"),
    Item("gone.example.test", "TYPE65280", "NXDOMAIN"),
    Item("www.example.test", "MX"),
    Item("ent.example.test", "A"),
    Item("wild.example.test", "A"),
    Item("day.example.test", "A", rdata=("192.0.2.7",)),
    Item("zero.example.test", "A", rdata=("192.0.2.6",)),
    Item("svc.example.test", "HTTPS", rdata=None),
    Item("svcalias.example.test", "HTTPS", rdata=None),
    Item("_dns.example.test", "SVCB", rdata=None),
    Item("odd.example.test", "TYPE65280", rdata=None),
    Item("empty.example.test", "TYPE65281", rdata=None),
    Item("_sip._tcp.example.test", "SRV", rdata=("1 2 5060 www.example.test.",)),
    Item("host.example.test", "SSHFP", rdata=None),
    Item("_443._tcp.example.test", "TLSA", rdata=None),
    Item("enum.example.test", "NAPTR", rdata=('100 10 "u" "E2U+sip" "!^.*$!sip:info@example.test!" .',)),
    Item("dot\\.label.example.test", "A", rdata=("192.0.2.8",)),
    Item("nul\\000label.example.test", "A", rdata=("192.0.2.9",)),
    Item(f"{LONG_LABEL}.example.test", "A", rdata=("192.0.2.10",)),
    Item(f"{LONG_NAME}.example.test", "A", rdata=("192.0.2.11",)),
    Item("www.corp.test", "A", rdata=("10.1.2.3",)),
    Item(f"www.{BROKEN_ZONE}", "A", "SERVFAIL"),
    Item("big.example.test", "TXT", rdata=(" ".join([f'"{BIG_STRING}"'] * BIG_STRINGS),), large=True),
    Item("many.example.test", "A", rdata=tuple(sorted(f"198.51.100.{i}" for i in range(MANY))), large=True),
)
