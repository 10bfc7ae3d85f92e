"""A forwarder that validates, on testing upstreams with signed zones, and the zones."""

import json
import time
from collections.abc import Iterable
from typing import Final

from secdns.cache import Cache
from secdns.config import parse
from secdns.dns.message import Message, Record
from secdns.dns.name import to_text
from secdns.forwarder import Forwarder
from secdns.iana import DNSSECAlgorithm, RCode, RRType, type_text
from secdns.policy import Hosts
from secdns.routing import Groups
from secdns.testing import FakeUpstream, SignedZones, Signing, ZoneData
from secdns.upstream import Upstream
from secdns.validation import ValidatingGroup
from tests.cache.answers import query
from tests.forwarder.stage import Clock, told

ZONES: Final[dict[str, ZoneData]] = {
    "test": {"@": {"TXT": "top"}},
    "secure.test": {
        "www": {"A": ["192.0.2.1", "192.0.2.2"], "AAAA": "2001:db8::1"},
        "alias": {"CNAME": "www"},
        "away": {"CNAME": "www.plain.test."},
        "*.wild": {"A": "192.0.2.3"},
        "large": {"TXT": [f"{number:02d}{'x' * 98}" for number in range(20)]},
        "m": {"A": "192.0.2.4"},
        **{f"h{number}": {"A": f"192.0.2.{number % 250 + 1}"} for number in range(500)},
    },
    "hashed.test": {"www": {"A": "192.0.2.5"}, "m": {"A": "192.0.2.6"}},
    "optout.test": {"www": {"A": "192.0.2.7"}},
    "leaf.optout.test": {"www": {"A": "192.0.2.8"}},
    "compact.test": {"www": {"A": "192.0.2.9"}},
    "costly.test": {"www": {"A": "192.0.2.10"}},
    "sha1.test": {"www": {"A": "192.0.2.11"}},
    "plain.test": {"www": {"A": "192.0.2.12"}, "@": {"TXT": "unsigned"}},
}

_ED25519: Final = (DNSSECAlgorithm.ED25519,)
SIGNING: Final = {
    ".": Signing(),
    "test": Signing(),
    "secure.test": Signing(),
    "hashed.test": Signing(denial="nsec3"),
    "optout.test": Signing(denial="opt-out"),
    "compact.test": Signing(_ED25519, denial="compact"),
    "costly.test": Signing(_ED25519, denial="nsec3", iterations=51),
    "sha1.test": Signing((DNSSECAlgorithm.RSASHA1_NSEC3_SHA1,)),
}
_KEYS: Final = {zone: signing.make_keys() for zone, signing in SIGNING.items()}
WWW: Final = "www.secure.test"


def make_zones(*, inception_s: int = -86_400, expiration_s: int = 14 * 86_400) -> SignedZones:
    """Give the zones; all that are made have the same keys, so that two upstreams can differ in one lie."""
    signing = {}
    for zone, how in SIGNING.items():
        terms = (how.algorithms, how.denial, how.iterations, how.salt, how.is_split, how.digests)
        signing[zone] = Signing(*terms, inception_s, expiration_s, _KEYS[zone])
    return SignedZones(ZONES, signing)


class Wall:
    """The wall clock, in step with the cache's; a test may set it wrong."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._began = time.time() - clock.now
        self.wrong_by_s = 0.0

    def __call__(self) -> float:
        return self._began + self._clock.now + self.wrong_by_s


class Stage:
    """A forwarder, its cache, its clocks, and asking it."""

    def __init__(self, toml: str, hosts: Hosts | None = None) -> None:
        self.clock = Clock()
        self.wall = Wall(self.clock)
        self.hosts = hosts or Hosts()
        self.groups = Groups()
        self.routing = self.groups.build(parse(toml, "test"), self.hosts)
        self._take_clocks()
        self.cache = Cache(1 << 22, route=self.routing.route)
        self.forwarder = Forwarder(self.cache, self.routing, clock=self.clock)

    def _take_clocks(self) -> None:
        if isinstance(self.routing.default, ValidatingGroup):
            self.judge.clock = self.clock
            self.judge.wall = self.wall

    @property
    def judge(self) -> ValidatingGroup:
        """Who judges what the default upstreams say."""
        group = self.routing.default
        assert isinstance(group, ValidatingGroup)
        return group

    @property
    def members(self) -> tuple[Upstream, ...]:
        return self.judge.group.members

    def reload(self, toml: str) -> None:
        """Go over to another configuration as the daemon does."""
        self.routing = self.groups.build(parse(toml, "test"), self.hosts)
        self._take_clocks()
        self.forwarder.routing = self.routing
        self.cache.route = self.routing.route
        self.cache.flush()

    async def ask(
        self, name: str, rrtype: int = RRType.A, *, ad: bool = False, cd: bool = False, do: bool = False
    ) -> Message:
        """Give the reply that a client gets."""
        wire = query(name, rrtype, ad=ad, cd=cd, do=do)
        reply = await self.forwarder.answer(wire, stream=True)
        assert reply is not None
        return Message.parse(reply)

    async def close(self) -> None:
        self.forwarder.abandon()
        await self.groups.aclose()


def dnssec(zones: SignedZones, *more: str) -> str:
    """Give the [dnssec] table that trusts the root of some zones."""
    return "\n".join(["[dnssec]", f"trust_anchors = {json.dumps(zones.trust_anchors())}", *more, ""])


def asked(up: FakeUpstream) -> list[str]:
    """Give what an upstream was asked, in order: ``"secure.test. DS"``."""
    questions = (Message.parse(seen.wire).question[0] for seen in up.queries)
    return [f"{to_text(question.name)} {type_text(question.rrtype)}" for question in questions]


def links(up: FakeUpstream) -> list[str]:
    """Give what an upstream was asked for the sake of a chain."""
    return sorted(question for question in asked(up) if question.split()[1] in ("DS", "DNSKEY"))


def verdict(reply: Message) -> str:
    """Give what a client learns from a reply: its RCODE, AD, and how many answers it has."""
    ad = " AD" if reply.ad else ""
    return f"{RCode(reply.rcode).name}{ad} {len(reply.answer)}"


def why(reply: Message) -> tuple[int, str]:
    """Give the one Extended DNS Error of a reply."""
    ((code, text),) = told(reply).items()
    return code, text


def types(records: Iterable[Record]) -> set[str]:
    """Give the types of some records."""
    return {type_text(record.rrtype) for record in records}
