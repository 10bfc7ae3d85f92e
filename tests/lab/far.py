"""A testing upstream on the far side of a wire: ``python -m tests.lab.far ADDRESS``.

It writes a line of JSON when it serves, with its ports and its CA, and one with what it has seen for
every line that it reads. It ends with its standard input.
"""

import asyncio
import json
import socket
import sys
from typing import Any

from secdns.dns.message import Message
from secdns.dns.name import to_text
from secdns.testing import FakeUpstream, upstream

ETH_P_ALL = 0x0003
PORT_PROTOCOLS = {6: "tcp", 17: "udp"}
ZONE = (
    "$ORIGIN example.test.\n$TTL 300\n@ SOA ns root 1 3600 600 86400 60\nshort 1 A 192.0.2.201\n"
    + "".join(f"h{number} A 192.0.2.{number % 200 + 1}\n" for number in range(1000))
)


class Tap:
    """Every packet that comes over the wire to a port where nobody should ask."""

    def __init__(self, ports: set[int]) -> None:
        self._ports = ports
        self.strangers: set[tuple[str, int]] = set()
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        self._socket.setblocking(False)
        asyncio.get_running_loop().add_reader(self._socket, self._read)

    def _read(self) -> None:
        frame, (device, _, kind, *_) = self._socket.recvfrom(2048)
        if device == "lo" or kind == socket.PACKET_OUTGOING or frame[12:14] != b"\x08\x00":
            return
        packet = frame[14:]
        protocol = PORT_PROTOCOLS.get(packet[9])
        if protocol is None:
            return
        start = (packet[0] & 15) * 4
        port = int.from_bytes(packet[start + 2 : start + 4])
        if port not in self._ports:
            self.strangers.add((protocol, port))


async def main(address: str) -> None:
    upstream.ADDRESS = address
    loop = asyncio.get_running_loop()
    async with FakeUpstream(ZONE) as up:
        ports = {scheme: up.port(scheme) for scheme in ("tls", "https", "quic", "h3")}
        tap = Tap(set(ports.values()))
        hello = {"urls": {scheme: up.url(scheme) for scheme in ports}, "ca_file": up.ca_file}
        print(json.dumps(hello), flush=True)
        reader = asyncio.StreamReader()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        while await reader.readline():
            seen: dict[str, Any] = {
                "queries": len(up.queries),
                "names": sorted({to_text(Message.parse(seen.wire).question[0].name) for seen in up.queries}),
                "resumed": [handshake.resumed for handshake in up.handshakes],
                "strangers": sorted(tap.strangers),
            }
            print(json.dumps(seen), flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
