"""See every packet on the loopback of a network namespace: who spoke to whom, and every octet of it."""

import socket
import struct
from dataclasses import dataclass

OUTGOING = 4  # linux/if_packet.h PACKET_OUTGOING: loopback shows each packet on its way out and in
ALL = 0x0003  # linux/if_ether.h ETH_P_ALL
SOL_PACKET, PACKET_STATISTICS = 263, 6
SO_RCVBUFFORCE = 33
BUFFER_OCTETS = 16 << 20
LINK_HEADER = 14
WITH_PORTS = (socket.IPPROTO_TCP, socket.IPPROTO_UDP)
ICMP_ERRORS = (3, 11, 12)  # RFC 792: they quote the packet that they are about, 8 octets in


@dataclass(frozen=True, slots=True)
class Packet:
    """One packet; ``ports`` are those it came from and went to; an ICMP error has those of what it quotes."""

    ports: tuple[int, ...]
    octets: bytes


class Capture:
    """All packets since it began; needs root, and sees the namespace that it was made in."""

    def __init__(self, interface: str = "lo") -> None:
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ALL))
        self._socket.setblocking(False)
        self._socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER_OCTETS)
        self._socket.bind((interface, 0))

    def take(self) -> list[Packet]:
        """Give what was sent since the last time: a packet is here before its sender goes on.

        Raises:
            AssertionError: the kernel had to drop some.
        """
        found = []
        while True:
            try:
                frame, address = self._socket.recvfrom(1 << 17)
            except BlockingIOError:
                break
            if address[2] != OUTGOING:
                found.append(_parse(frame[LINK_HEADER:]))
        _, dropped = struct.unpack("II", self._socket.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))
        assert dropped == 0, f"{dropped} packets were dropped"
        return found

    def close(self) -> None:
        """End the capture."""
        self._socket.close()


def _parse(octets: bytes) -> Packet:
    return Packet(_ports(octets), octets)


def _ports(octets: bytes) -> tuple[int, ...]:
    if octets[0] >> 4 == 4:
        protocol, at = octets[9], (octets[0] & 15) * 4
    else:
        protocol, at = octets[6], 40
    if protocol in WITH_PORTS:
        return struct.unpack_from("!HH", octets, at)
    if protocol == socket.IPPROTO_ICMP and octets[at] in ICMP_ERRORS:
        return _ports(octets[at + 8 :])
    return ()
