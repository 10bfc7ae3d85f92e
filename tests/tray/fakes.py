"""A daemon that has nothing but the local API, and values for it."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingMixIn, UnixStreamServer
from typing import Any, cast

from secdns.control.schema import (
    CacheInfo,
    Check,
    Checked,
    Clock,
    Counters,
    Pause,
    Problem,
    Status,
    System,
    UpstreamInfo,
    Upstreams,
    error_to_json,
    to_json,
)
from secdns.errors import ControlError
from secdns.states import State


def upstream(name: str = "quad9", **given: Any) -> UpstreamInfo:
    values: dict[str, Any] = {
        "name": name, "url": "https://a.example/dns-query", "protocol": "DoH (HTTP/2)", "health": "well",
        "is_first": False, "is_in_use": False, "is_connected": False, "is_configured": True, "p50_ms": 14.2,
    }  # fmt: skip
    return UpstreamInfo(**(values | given))


def status(state: str = State.SECURE, **given: Any) -> Status:
    values: dict[str, Any] = {
        "version": "1", "pid": 1, "uptime_s": 1.0, "state": cast(State, state),
        "sentence": "questions go encrypted to quad9 by DoH (HTTP/2); signatures are checked here",
        "remedy": None, "upstream": upstream(), "chosen": None, "strategy": "ordered", "dnssec": "validate",
        "listen": ("127.0.0.1:53",), "configuration": "/etc/secdns/secdns.toml", "may_change": True,
        "is_strict": False, "counters": Counters(1, 0, 0, 1, 0, 0, {}), "cache": CacheInfo(0, 0, 0),
    }  # fmt: skip
    return Status(**(values | given))


ON = System("on", "this machine asks secdns (by systemd-resolved)")
OFF = System(
    "off",
    "this machine does not ask secdns, but 192.168.1.1 (by systemd-resolved)",
    "to have it do so: sudo secdns system on",
)
TAKEN = System(
    "overruled",
    "another program has taken over DNS: this machine asks 10.8.0.1 (by /etc/resolv.conf)",
    "to put it in force again: sudo secdns system on; to end it: sudo secdns system off",
)
CLOCK = Clock(
    "the clock of this machine says 2016-11-26 00:00 UTC, which cannot be",
    "set it, and have it kept right: sudo timedatectl set-ntp true",
    is_certain=True,
)


FOUND = Checked(
    False,
    (
        Check("listening", "pass", "secdns answers at 127.0.0.1"),
        Check("upstream", "skipped", "no configuration says which"),
        Check("look-up", "fail", "look-ups go elsewhere", "turn it on: sudo secdns system on"),
    ),
)


def upstreams() -> Upstreams:
    return Upstreams((upstream(), upstream("mullvad", protocol="DoT", p50_ms=31.0)), ("dns-sb", "dns0"))


REFUSED = Problem(
    1.0,
    "broken.example: its signatures have expired",
    "the operator of that zone has to sign it anew, nobody else can",
    "broken.example.",
    can_allow=True,
)


class FakeDaemon:
    """Answers at ``path``; ``status`` may be changed at any time, and ``posts`` is what was asked for."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.posts: list[tuple[str, Any]] = []
        self.refusal: ControlError | None = None
        self.portal: dict[str, object] | None = None  # what a click on "Open sign-in page…" gets
        self.checked: object = None
        self.upstreams = upstreams()
        self._status = status()
        self.changed = threading.Condition()
        self.revision = 0
        self.is_closed = False

    @property
    def status(self) -> Status:
        return self._status

    @status.setter
    def status(self, value: Status) -> None:
        with self.changed:
            self._status = value
            self.revision += 1
            self.changed.notify_all()

    @contextmanager
    def running(self) -> Iterator[None]:
        """Answer inside the block; at its end every connection is closed, as when a daemon dies."""
        self.is_closed = False
        server = _Server(str(self.path), _Handler)
        server.fake = self
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield
        finally:
            with self.changed:
                self.is_closed = True
                self.changed.notify_all()
            server.shutdown()
            server.server_close()
            thread.join()
            self.path.unlink()

    def post(self, path: str, body: dict[str, Any]) -> object:
        self.posts.append((path, body))
        if self.refusal is not None:
            raise self.refusal
        match path:
            case "use":
                name = body["upstream"]
                used = next((one for one in self.upstreams.upstreams if one.name == name), None)
                self.status = replace(self.status, chosen=name, upstream=used or self.status.upstream)
            case "pause":
                pause = Pause(2e9, float(body["for_s"]), ("192.168.1.1",))
                self.status = replace(self.status, state=State.PAUSED, pause=pause)
                return to_json(pause)
            case "resume":
                self.status = replace(self.status, state=State.SECURE, pause=None)
            case "dnssec/allow":
                self.status = replace(self.status, problem=None)
                return {"name": body["name"], "until": 2e9, "for_s": float(body["for_s"])}
            case "portal":
                return self.portal
            case "check":
                return self.checked
        return to_json(self.status)


class _Server(ThreadingMixIn, UnixStreamServer):
    fake: FakeDaemon

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that has gone is nobody's failure."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def address_string(self) -> str:
        return "-"

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        fake = self.server.fake
        match self.path:
            case "/v1/status":
                self._reply(200, to_json(fake.status))
            case "/v1/upstreams":
                self._reply(200, to_json(fake.upstreams))
            case "/v1/events":
                self._events(fake)
            case _:
                self._reply(404, error_to_json(ControlError("no such path", code="unknown-path")))

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        try:
            self._reply(200, self.server.fake.post(self.path.removeprefix("/v1/"), body))
        except ControlError as error:
            self._reply(403, error_to_json(error))

    def _events(self, fake: FakeDaemon) -> None:
        self.send_response(200)
        self.end_headers()
        told = -1
        while True:
            with fake.changed:
                while not fake.is_closed and fake.revision == told:
                    fake.changed.wait()
                if fake.is_closed:
                    return
                told = fake.revision
            self.wfile.write(b"event: status\ndata: %s\n\n" % json.dumps(to_json(fake.status)).encode())

    def _reply(self, code: int, value: object) -> None:
        octets = json.dumps(value).encode()
        self.send_response(code)
        self.send_header("Content-Length", str(len(octets)))
        self.end_headers()
        self.wfile.write(octets)
