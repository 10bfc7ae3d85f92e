"""What a testing upstream can be told to do wrong."""

import dataclasses
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from secdns.dns import name
from secdns.dns.message import TC, Message, Question
from secdns.iana import RRType

REFUSED_STREAM = 7  # RFC 9113 §7


@dataclass(frozen=True, slots=True)
class Seen:
    """A query as it arrived: over which scheme, its octets, and on which connection of that scheme.

    Connections count from 1; UDP has none and says 0.
    """

    scheme: str
    wire: bytes
    connection: int


Oddity = Literal[
    "fin",  # the end of the stream alone
    "two",  # two messages on the stream
    "zero",  # a length prefix that says 0
    "short",  # an octet less than the prefix says
    "keepalive",  # an answer with edns-tcp-keepalive
    "uni",  # a stream of the server's own in one direction
    "both-ways",  # one in both
    "hole",  # one octet as far behind a hole as flow control allows, again and again
    "chasm",  # one octet at 2**28 - 1, whatever flow control allows
    "chatter",  # 2,000 packets that say nothing, then the answer
]
H3Oddity = Literal[
    "insert",  # an entry for the dynamic table that there is not
    "bomb",  # a field section of 8,000 references to the static table
    "long-section",  # one of over 8 KiB
    "push",  # PUSH_PROMISE
    "data-first",  # a body without a header section
    "cut",  # the end of the stream within a frame
    "two-controls",  # a second control stream
    "close-control",  # the end of the control stream
    "both-ways",  # a stream of the server's own
    "pieces",  # the body in frames of one octet, with empty ones between
]


@dataclass(slots=True)
class Faults:
    """The knobs of one FakeUpstream; every default means "behave well".

    They may be turned at any time and hold from the next query or connection on. A fault that its
    protocol cannot express (``goaway`` on DoT) is ignored. Two knobs choose which queries suffer:
    ``only`` by predicate, ``times`` by number, each spoiled query or dropped connection counting one.
    """

    only: Callable[[Seen], bool] | None = None
    times: int | None = None

    # when the answer comes
    delay_s: float = 0.0
    hold: bool = False  # keep answers until FakeUpstream.release()
    silent: bool = False  # never answer
    drip_s: float = 0.0  # seconds before each octet of the answer (HTTP: of the body)

    # what the answer says
    wrong_id: bool = False
    wrong_question: bool = False
    garbage: bool = False  # the right ID, then octets that are no message
    truncate: bool = False  # UDP: TC, no records
    rcode: int | None = None  # this RCODE, no records
    duplicate: bool = False  # the same answer twice (HTTP: ignored)
    inject: bytes = b""  # raw octets ahead of the answer: below HTTP/2 and the length prefix

    # what the connection does
    drop_connections: bool = False  # accept, then close at once
    stall_connections: bool = False  # accept, then say nothing: no TLS handshake, no answer
    close_after: int | None = None  # answers a connection gives before it is closed
    idle_s: float | None = None  # a connection that was given no answer for so long ends as ``idle_end`` says
    # "forget": without a word, and deaf to what comes, its acknowledgement included; Linux only, over TCP
    idle_end: Literal["fin", "rst", "goaway", "forget"] = "fin"
    keepalive: int | None = None  # TIMEOUT of edns-tcp-keepalive, in 100 ms, for who asks over TCP or TLS
    close_mid: Literal["fin", "rst"] | None = None  # end the connection instead of answering
    close_mid_octets: int = 0  # how many octets of the answer (HTTP: of the body) still go out first

    # TLS, from the next connection on; None is the scheme's own
    alpn: tuple[str, ...] | None = None
    tls_maximum: ssl.TLSVersion | None = None  # below TLS 1.2 is possible

    # HTTP/2
    max_concurrent_streams: int = 100  # from the next connection on
    # As a request arrives, GOAWAY: "graceful" still answers this one, "refuse" only the earlier ones,
    # "zero" says that none was looked at and answers none of what comes.
    goaway: Literal["graceful", "refuse", "zero"] | None = None
    refuse_streams: bool = False  # RST_STREAM instead of an answer
    reset_code: int = REFUSED_STREAM  # the error code that refuse_streams gives
    http_status: int = 200
    http_headers: Mapping[str, str | None] = field(default_factory=dict)  # set these; None leaves one out
    informational: int = 0  # how many 103 responses first
    body: bytes | None = None  # instead of the DNS message
    no_end_stream: bool = False  # the body comes, its end never does
    trailers: Mapping[str, str] = field(default_factory=dict)

    # QUIC
    drop_datagrams: bool = False  # as a network that blocks UDP: none gets in, none out
    stream_credit: int | None = None  # streams that a connection may open in all; never raised
    max_outstanding: int | None = None  # with more unanswered a connection falls silent for good
    keeps_streams: bool = False  # never end a stream whose query was cancelled
    retry: Literal["once", "always"] | None = None  # make clients prove their address
    only_version: int | None = None  # speak this version of QUIC only
    oddity: Oddity | None = None  # DNS over QUIC: instead of the answer
    h3_oddity: H3Oddity | None = None  # HTTP/3: the same
    stop_sending: bool = False  # HTTP/3: STOP_SENDING before the answer (RFC 9114 §4.1)

    def take(self, seen: Seen) -> "Faults":
        """Give the faults that hold for this query: these, or none; ``times`` counts down."""
        if self.times == 0 or (self.only is not None and not self.only(seen)):
            return Faults()
        if self.times is not None:
            self.times -= 1
        return self

    def take_connection(self) -> Literal["serve", "drop", "stall"]:
        """Say what becomes of a connection that was just accepted; ``times`` counts down if it suffers."""
        if self.times == 0 or not (self.drop_connections or self.stall_connections):
            return "serve"
        if self.times is not None:
            self.times -= 1
        return "drop" if self.drop_connections else "stall"


def spoil(faults: Faults, seen: Seen, reply: bytes) -> bytes:
    """Give the reply that ``faults`` make of a good one."""
    if faults.rcode is not None:
        reply = _with_rcode(reply, faults.rcode)
    if faults.truncate and seen.scheme == "udp":
        reply = truncated(reply)
    if faults.wrong_question:
        wrong = (Question(name.from_text("wrong-question.test"), RRType.A),)
        reply = dataclasses.replace(Message.parse(reply), question=wrong).to_wire()
    if faults.wrong_id:
        reply = bytes([reply[0] ^ 0xFF]) + reply[1:]
    if faults.garbage:
        reply = reply[:4] + b"\x00\x01\x00\x09\x00\x00\x00\x00" + b"\xff" * 32
    return reply


def truncated(reply: bytes) -> bytes:
    """Give the reply without its records and with TC (RFC 2181 §9); its OPT stays."""
    message = Message.parse(reply)
    return Message(message.id, message.flags | TC, message.question, edns=message.edns).to_wire()


def _with_rcode(reply: bytes, rcode: int) -> bytes:
    message = Message.parse(reply)
    edns = message.edns
    if edns is not None:
        edns = dataclasses.replace(edns, ext_rcode=rcode >> 4)
    return Message(message.id, message.flags & 0xFFF0 | rcode & 15, message.question, edns=edns).to_wire()
