"""Try every upstream whose certificate is wrong, in a network namespace, and print what came of it as JSON.

    ip netns exec NAME python -m tests.lab.matrix

For each transport and each fault `secdns upstreams test` and a client of the daemon each ask for a name
that is nobody else's, while every packet on the loopback is looked at.
"""

import asyncio
import io
import json
import socket
import sys
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from secdns.__main__ import main
from secdns.cli.asking import ask_one
from secdns.config import parse
from secdns.daemon import Daemon
from secdns.dns.message import Question
from secdns.dns.name import from_text
from secdns.endpoint import parse as parse_endpoint
from secdns.testing import CertificateKind, FakeUpstream
from tests.lab.capture import Capture, Packet

SCHEMES = ("tls", "https", "h3", "quic")
NAME = "nobody-elses-name.example.test"
MARK = NAME.split(".", maxsplit=1)[0].encode()
WRONG_PIN = "A" * 43 + "="
PATIENCE_S = 10.0


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong: with the certificate, with whom the client expects, or with the pin."""

    cert: CertificateKind = "good"
    hostname: str = "dns.test"  # in the certificate
    host: str | None = None  # in the URL, if another
    pin: str | None = None


FAULTS = {
    "nothing": Fault(),
    "wrong name": Fault("wrong-name"),
    "no SAN": Fault("no-san"),
    "CN only": Fault("cn-only"),
    "expired": Fault("expired"),
    "not yet valid": Fault("not-yet"),
    "self-signed": Fault("self-signed"),
    "wrong IP SAN": Fault(hostname="192.0.2.7", host="127.0.0.1"),
    "client-only": Fault("client-only"),
    "wrong pin": Fault(pin=WRONG_PIN),
}
"""Every fault of the matrix, after none at all: else nothing would be proven by what does not happen."""


async def try_all(directory: Path) -> dict[str, object]:
    """Give what came of each transport with each fault, and whether the capture sees what it should."""
    capture = Capture()
    try:
        found: dict[str, object] = {"control": control(capture)}
        for name, fault in FAULTS.items():
            async with FakeUpstream(
                {"example.test": {MARK.decode(): {"A": "192.0.2.1"}}},
                cert=fault.cert,
                hostname=fault.hostname,
            ) as up:
                for scheme in SCHEMES:
                    found[f"{scheme} {name}"] = await try_one(up, scheme, fault, directory, capture)
        return found
    finally:
        capture.close()


def control(capture: Capture) -> dict[str, int]:
    """Ask for the name in plain, on port 53, where nobody listens, and count what the capture sees of it.

    The error that comes back quotes the query.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.sendto(from_text(NAME), ("127.0.0.1", 53))
    packets = capture.take()
    return {"to_port_53": sum(map(is_to_53, packets)), "named": named(packets)}


async def try_one(
    up: FakeUpstream, scheme: str, fault: Fault, directory: Path, capture: Capture
) -> dict[str, object]:
    """Test an upstream and ask a daemon that has it; ``strangers`` are packets from and to anybody else."""
    table = "\n".join(
        [
            f'[[upstream]]\nname = "fake"\nurl = "{up.url(scheme, fault.host)}"\naddresses = ["127.0.0.1"]',
            f'ca_file = "{up.ca_file}"',
            f'pin_sha256 = ["{fault.pin}"]' if fault.pin else "",
            '[server]\nlisten = ["127.0.0.1:0"]\n[dnssec]\nmode = "off"',
        ]
    )
    file = directory / "secdns.toml"
    file.write_text(table)
    seen = len(up.queries)
    capture.take()
    out = io.StringIO()
    with redirect_stdout(out):
        code = await asyncio.to_thread(
            main, ["upstreams", "test", "--config", str(file), "--name", NAME, "--large", NAME]
        )
    packets = capture.take()
    asked_by_test = len(up.queries) - seen
    daemon = Daemon(parse(table, "matrix"), hosts_file=None)
    daemon.listen()
    port = daemon.bound[0].port
    try:
        answer = await ask_one(
            Question(from_text(NAME), 1),
            parse_endpoint(f"udp://127.0.0.1:{port}"),
            deadline=asyncio.get_running_loop().time() + PATIENCE_S,
            dnssec=False,
        )
    finally:
        await daemon.stop()
    ours = {up.port(each) for each in SCHEMES}  # the last words of a connection of before may come late
    packets += [packet for packet in capture.take() if port not in packet.ports]
    return {
        "exit": code,
        "out": out.getvalue(),
        "rcode": answer.response.rcode,
        "ede": list(answer.ede),
        "asked_by_test": asked_by_test,
        "asked_by_daemon": len(up.queries) - seen - asked_by_test,
        "packets": len(packets),
        "to_port_53": sum(is_to_53(packet) for packet in packets),
        "named": named(packets),
        "strangers": sum(ours.isdisjoint(packet.ports) for packet in packets),
    }


def is_to_53(packet: Packet) -> bool:
    """Tell whether a packet is to the port of plain DNS."""
    return packet.ports[1:] == (53,)


def named(packets: list[Packet]) -> int:
    """Count the packets that hold the name that was asked for, in plain, in any case."""
    return sum(MARK in packet.octets.lower() for packet in packets)


if __name__ == "__main__":
    with TemporaryDirectory() as made:
        json.dump(asyncio.run(try_all(Path(made))), sys.stdout)
