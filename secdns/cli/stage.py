"""Play the demo: an upstream and the daemon on loopback, and a line for each query.

This is the one place where names that were asked for are shown: they are the demo's own.
"""

import asyncio
import json
import time
from collections.abc import Callable

from secdns import config, daemon, endpoint, serving
from secdns.cache import Missed
from secdns.cli import answer as answers
from secdns.cli import asking, terminal
from secdns.cli.exits import Exit
from secdns.cli.query import make_question
from secdns.cli.records import data_to_text, type_to_text
from secdns.dns.message import Message
from secdns.errors import FormatError
from secdns.iana import rcode_text
from secdns.listener import Responder
from secdns.stats import Stats
from secdns.testing import FakeUpstream, signed_demo_zones

#: what is asked and why, in the order of a story
SCENES = (
    ("www.example.test", "A", "asked of the upstream over TLS, its signatures checked"),
    ("www.example.test", "A", "the same again, from the cache"),
    ("www.backup.test", "A", "a route sends this zone over HTTPS"),
    ("nope.example.test", "A", "a name that does not exist"),
    ("broken.example.test", "A", "a name whose signature has expired: refused"),
)
TIMEOUT_S = 5.0

CONFIG = """\
[server]
listen = ["127.0.0.1:{port}"]

[dnssec]
trust_anchors = {anchors}

[[upstream]]
name = "demo-tls"
url = {tls}
addresses = ["127.0.0.1"]
ca_file = {ca}

[[upstream]]
name = "demo-https"
url = {https}
addresses = ["127.0.0.1"]
ca_file = {ca}

[[route]]
domains = ["backup.test"]
via = "demo-https"
"""


class Watched:
    """A responder that tells what became of each query; every one takes the slow road to be seen."""

    def __init__(self, responder: Responder, upstream: FakeUpstream, stats: Stats) -> None:
        self._responder = responder
        self._upstream = upstream
        self._stats = stats

    def cached(self, query: bytes, now: float) -> bytes | None:
        """Leave it to `answer`, which looks into the same cache."""
        return None

    async def answer(self, query: bytes, *, stream: bool) -> bytes | None:
        """Answer as the daemon does, and print a line about it."""
        future: asyncio.Future[bytes | None] = asyncio.get_running_loop().create_future()
        self.submit(query, stream=stream, deliver=future.set_result)
        return await future

    def submit(
        self,
        query: bytes,
        *,
        stream: bool,
        deliver: Callable[[bytes | None], None],
        asked: Missed | None = None,
    ) -> None:
        """Answer as the daemon does, and print a line about it."""
        seen, local = len(self._upstream.queries), self._stats.local
        started = time.perf_counter()

        def tell(reply: bytes | None) -> None:
            if reply is not None:
                way = self._way(reply, seen, made_here=self._stats.local > local)
                took = answers.milliseconds(time.perf_counter() - started)
                terminal.out(f"  {_summary(reply)}, {way} in {took}")
            deliver(reply)

        self._responder.submit(query, stream=stream, deliver=tell, asked=asked)

    def _way(self, reply: bytes, seen: int, *, made_here: bool) -> str:
        """Tell where a reply came from, by what the upstream has seen meanwhile."""
        question = reply[12:].lower()
        for query in self._upstream.queries[seen:]:
            asked = query.wire[12:].lower()
            if question[: question.find(b"\0") + 5] == asked[: asked.find(b"\0") + 5]:
                return f"from the upstream by {answers.TRANSPORTS[query.scheme]}"
        return "made by secdns itself" if made_here else "from the cache"


async def play(port: int, *, once: bool) -> int:
    """Run the demo on this port of 127.0.0.1 (0: a free one), until a signal or once through.

    Raises:
        ListenError: the port is taken.
    """
    zones = signed_demo_zones()
    async with FakeUpstream(zones) as upstream:
        text = CONFIG.format(
            port=port,
            tls=json.dumps(upstream.tls_url),
            https=json.dumps(upstream.https_url),
            ca=json.dumps(upstream.ca_file),
            anchors=json.dumps(zones.trust_anchors()),
        )
        running = daemon.Daemon(config.parse(text, "demo"), hosts_file=None)
        watched = Watched(running.forwarder, upstream, running.stats)
        running.udp.responder = running.tcp.responder = watched
        if not once:
            await serving.serve(running, ready=_introduce)
            return Exit.OK
        running.listen()
        try:
            await _ask_scenes(running)
        finally:
            await running.stop()
    return Exit.OK


def _introduce(running: daemon.Daemon) -> None:
    port = _set_the_scene(running)
    terminal.out("In another terminal, try:")
    terminal.out()
    for name, _, why in SCENES:
        terminal.out(f"  dig @127.0.0.1 -p {port} {name:<20}{why}")
    terminal.out(f"  secdns query www.example.test @127.0.0.1:{port}    without dig")
    terminal.out()
    terminal.out("Each query is shown below as it comes. Ctrl-C ends it.")
    terminal.out()


def _set_the_scene(running: daemon.Daemon) -> int:
    """Say what runs where, and give the port."""
    port = running.bound[0].port
    terminal.out("An upstream with DNS over TLS and DNS over HTTPS now runs on this machine, and secdns")
    terminal.out(f"in front of it at 127.0.0.1 port {port}. Nothing leaves this machine.")
    terminal.out()
    return port


async def _ask_scenes(running: daemon.Daemon) -> None:
    """Be the client: ask the listener over UDP, as any program would."""
    listener = endpoint.parse(f"udp://127.0.0.1:{_set_the_scene(running)}")
    for name, rrtype, why in SCENES:
        terminal.out(f"{why}:")
        question = make_question(name, rrtype)
        deadline = asyncio.get_running_loop().time() + TIMEOUT_S
        got = await asking.ask_one(question, listener, deadline=deadline, dnssec=False)
        for _, text in got.ede:
            terminal.out(f"  {text}")
        for record in got.response.answer:
            owner, kind = answers.host_text(record.name), type_to_text(record.rrtype)
            terminal.out(f"  {owner}  {kind}  {data_to_text(record)}")


def _summary(reply: bytes) -> str:
    """Give question and outcome of a reply."""
    try:
        message = Message.parse(reply)
    except FormatError:
        return "a query"
    if not message.question:
        return f"a query that is none: {rcode_text(message.rcode)}"
    asked = message.question[0]
    return f"{answers.host_text(asked.name)} {type_to_text(asked.rrtype)}: {rcode_text(message.rcode)}"
