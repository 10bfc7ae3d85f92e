"""The zones that a FakeUpstream has when it is given none, and that ``secdns demo`` shows."""

from secdns.iana import RRType
from secdns.testing.broken import expired
from secdns.testing.hierarchy import SignedZones
from secdns.testing.signed import Signing

_LARGE = "\n".join(f'large      TXT    "line {number:02d}: {"." * 120}"' for number in range(1, 31))

DEMO_ZONES = f"""\
$TTL 300
$ORIGIN example.test
@          SOA    ns hostmaster 2024 7200 3600 1209600 60
           NS     ns
           A      192.0.2.1
           AAAA   2001:db8::1
           MX     10 mail
           MX     20 mail.backup.test.
           TXT    "v=spf1 mx -all"
ns         A      192.0.2.53
www        A      192.0.2.80
           AAAA   2001:db8::80
           HTTPS  \\# 10 0001000001000302 6832     ; 1 . alpn=h2
mail       A      192.0.2.25
alias      CNAME  www
chain      CNAME  alias
away       CNAME  www.backup.test.
dangling   CNAME  nothing
*.any      A      192.0.2.42
text       TXT    "hello from the testing upstream" "in two strings"
short 1    A      192.0.2.99           ; TTL of one second
_imap._tcp SRV    0 1 993 mail
broken     A      192.0.2.66           ; where signed: its signature has expired
deep.below.empty A 192.0.2.7           ; below.empty and empty exist and have no records
{_LARGE}

$ORIGIN backup.test
www        A      198.51.100.80
mail       A      198.51.100.25

$ORIGIN 2.0.192.in-addr.arpa
80         PTR    www.example.test.
"""

DEMO_SIGNING = {
    ".": Signing(),
    "test": Signing(denial="nsec3"),
    "example.test": Signing(),
    "2.0.192.in-addr.arpa": Signing(denial="nsec3"),
}
"""How the demo's zones are signed; ``backup.test`` is not, so what leads there is insecure."""


def signed_demo_zones(now: int | None = None) -> SignedZones:
    """Give DEMO_ZONES signed for a fortnight from ``now``, with ``broken.example.test`` to be refused.

    A validator trusts their ``trust_anchors()``.
    """
    zones = SignedZones(DEMO_ZONES, DEMO_SIGNING, now=now)
    zones.faults = [expired("broken.example.test", RRType.A)]
    return zones
