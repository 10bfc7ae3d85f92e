"""A forwarder on testing upstreams, put together from a configuration as the daemon does it."""

import json
from collections.abc import Sequence
from typing import Final

from secdns.cache import Cache
from secdns.config import parse
from secdns.dns.edns import errors_of
from secdns.dns.message import Message
from secdns.dns.peek import question_end
from secdns.forwarder import Forwarder
from secdns.iana import EDE
from secdns.policy import Hosts
from secdns.routing import Groups
from secdns.testing import FakeUpstream, ZoneData
from secdns.upstream import UpstreamGroup

ZONES: Final[dict[str, ZoneData]] = {
    "example.test": {
        "@": {"MX": "10 mail"},
        "www": {"A": ["192.0.2.1", "192.0.2.2"], "AAAA": "2001:db8::1"},
        "alias": {"CNAME": "www"},
        "large": {"TXT": [f"{number:02d}{'x' * 98}" for number in range(20)]},
        "middle": {"TXT": [f"{number:02d}{'x' * 98}" for number in range(7)]},
        "odd": {"TYPE65300": r"\# 5 00ff0041c0", "HTTPS": r"\# 3 000100"},
        **{f"h{number}": {"A": f"192.0.2.{number % 250 + 1}"} for number in range(200)},
    }
}


UNSIGNED = '\n[dnssec]\nmode = "off"\n'  # the zones above have no signatures


class Clock:
    """The cache's clock; a test moves it."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Stage:
    """A forwarder, its cache, its clock, and asking it."""

    def __init__(self, toml: str) -> None:
        self.clock = Clock()
        self.groups = Groups()
        self.routing = self.groups.build(parse(toml + UNSIGNED, "test"), Hosts())
        self.cache = Cache(1 << 22, route=self.routing.route)
        self.forwarder = Forwarder(self.cache, self.routing, clock=self.clock)

    @property
    def group(self) -> UpstreamGroup:
        """The upstreams for names that no route takes elsewhere."""
        group = self.routing.default
        assert isinstance(group, UpstreamGroup)
        return group

    async def ask(self, wire: bytes, *, stream: bool = False) -> Message:
        """Give the reply that a client gets, having looked at what every reply must be."""
        return Message.parse(await self.ask_octets(wire, stream=stream))

    async def ask_octets(self, wire: bytes, *, stream: bool = False) -> bytes:
        """Give the same as octets."""
        reply = await self.forwarder.answer(wire, stream=stream)
        assert reply is not None
        assert reply[:2] == wire[:2]
        assert reply[2] & 0x80
        return reply

    async def close(self) -> None:
        self.forwarder.abandon()
        await self.groups.aclose()


Reply = bytes | None


def submit(stage: Stage, wire: bytes, *, stream: bool = False) -> list[Reply]:
    """Ask, and give the list that the reply will stand in."""
    replies: list[Reply] = []
    stage.forwarder.submit(wire, stream=stream, deliver=replies.append)
    return replies


def only(replies: list[Reply]) -> Message:
    """Give the one reply."""
    (reply,) = replies
    assert reply is not None
    return Message.parse(reply)


def table(up: FakeUpstream, name: str = "a", scheme: str = "tls") -> str:
    """Give the [[upstream]] table of a testing upstream."""
    return (
        f"[[upstream]]\nname = {json.dumps(name)}\nurl = {json.dumps(up.url(scheme))}\n"
        f'addresses = ["127.0.0.1"]\nca_file = {json.dumps(up.ca_file)}\n'
    )


def route(domains: Sequence[str], via: str) -> str:
    """Give a [[route]] table."""
    return f"[[route]]\ndomains = {json.dumps(list(domains))}\nvia = {json.dumps(via)}\n"


def questions_of(up: FakeUpstream) -> list[bytes]:
    """Give the question of every query that came, as octets."""
    return [seen.wire[12 : question_end(seen.wire)] for seen in up.queries]


def told(reply: Message) -> dict[int, str]:
    """Give the Extended DNS Errors of a reply: code -> text."""
    return dict(errors_of(reply.edns))


UNREACHED: Final = {EDE.NO_REACHABLE_AUTHORITY, EDE.NETWORK_ERROR}
