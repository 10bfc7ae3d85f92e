"""Cut a stream into messages by their two-octet length prefix.

TCP has it from RFC 1035 §4.2.2, DNS over TLS and DNS over QUIC reuse it
(RFC 7858 §3.3, RFC 9250 §4.2).
"""

from secdns.dns.wire import HEADER_SIZE
from secdns.errors import FormatError


def frame(wire: bytes) -> bytes:
    """Give a message with its length prefix, to be written in one piece (RFC 7766 §8)."""
    return len(wire).to_bytes(2) + wire


class Framer:
    """Take octets as they come and give whole messages, the same however the stream was cut.

    At most one incomplete message is held, so memory is bounded by 65,537 octets beside what
    one ``feed`` brings; a peer that sends single octets costs no more than one that does not.
    """

    __slots__ = ("_held", "_wanted")

    def __init__(self) -> None:
        self._held = bytearray()
        self._wanted = 2  # octets from the start of what is held to where something can be given

    @property
    def buffered(self) -> int:
        """Octets held of a message that is not complete."""
        return len(self._held)

    def feed(self, data: bytes) -> list[bytes]:
        """Take ``data`` and give every message that is complete now, in order.

        Raises:
            FormatError: a prefix promises less than a DNS header; the stream cannot be
                followed any further and must be closed. Messages before it in the same
                ``data`` are given first, and the next call raises.
        """
        held = self._held
        if held:
            held += data
            if len(held) < self._wanted:
                return []
            data = bytes(held)
            held.clear()
        messages: list[bytes] = []
        at = 0
        end = len(data)
        wanted = 2
        while end - at >= wanted:
            size = data[at] << 8 | data[at + 1]
            if size < HEADER_SIZE:  # a peer that says 0 would spin us for ever
                if messages:
                    break
                held += data[at:]
                raise FormatError(f"length prefix says {size} octets, a DNS header alone is {HEADER_SIZE}")
            wanted = 2 + size
            if end - at >= wanted:
                messages.append(data[at + 2 : at + wanted])
                at += wanted
                wanted = 2
        self._wanted = wanted
        if at < end:
            held += data[at:]
        return messages
