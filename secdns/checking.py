"""Try whether an encrypted upstream can be reached, and whether somebody else answers in its place.

The upstreams come first: where one can be reached nothing else is asked at all. A sign-in page is looked
for when that takes long or fails, by an address (``secdns.network.portal``); and where nothing answers
there, by a name. Some networks drop what is not for their page and lead people to it by DNS alone: they
have an address of theirs for any name, also for ``ipv4only.arpa``, whose addresses are fixed (RFC 8880
§7). It is asked of the network's own resolver, like the systems' connectivity checks at that moment, and
says nothing of anybody. A resolver that does not know it proves nothing, and neither does a wrong
address alone: ``secdns.network.state`` wants the upstreams to be out of reach as well.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from secdns.dns import name as names
from secdns.dns.message import Message
from secdns.errors import FormatError, TransportError
from secdns.iana import RCode, RRClass, RRType
from secdns.network.portal import Page
from secdns.upstream import Upstream

CHECK_S: Final = 2.0  # for the upstreams; three round trips of the slowest line and a lost packet
PATIENT_S: Final = 1.3  # then a page is looked for beside that; the first SYN on a new link is often lost
STAGGER_S: Final = 0.25  # between one upstream and the next (RFC 8305 §5)
NAME_S: Final = 0.6  # for the network's own resolver
MAX_TRIED: Final = 4  # upstreams
BY_NAME: Final = "http://neverssl.com/"  # leads to a page that answers for any name

Look = Callable[[], Awaitable[Page | None]]

_ROOT_NS: Final = b"\0" + RRType.NS.to_bytes(2) + RRClass.IN.to_bytes(2)
_IPV4ONLY: Final = names.from_text("ipv4only.arpa") + RRType.A.to_bytes(2) + RRClass.IN.to_bytes(2)
_FIXED: Final = frozenset({bytes((192, 0, 0, 170)), bytes((192, 0, 0, 171))})


async def reach(members: Sequence[Upstream], *, is_asked: bool, is_anew: bool = False) -> bool:
    """Tell whether one of ``members`` can be reached; takes 2 s at most. They are told what came of it.

    A handshake is enough unless ``is_asked``: after questions failed it takes an answer. Names cost
    nothing there: the root's name servers are asked for, under encryption. ``is_anew``: not over a
    connection that is open, it was silent the last time.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + CHECK_S
    trying: set[asyncio.Task[bool]] = set()
    waiting = list(members[:MAX_TRIED])
    try:
        while waiting or trying:
            if waiting:
                trying.add(loop.create_task(_try(waiting.pop(0), deadline, is_asked, is_anew)))
            left_s = deadline + 0.1 - loop.time()
            wait_s = min(STAGGER_S, left_s) if waiting else left_s
            done, trying = await asyncio.wait(
                trying, timeout=max(wait_s, 0), return_when=asyncio.FIRST_COMPLETED
            )
            if any(task.result() for task in done):
                return True
            if left_s <= 0:
                return False
        return False
    finally:
        for task in trying:
            task.cancel()
        if trying:
            await asyncio.wait(trying)


async def _try(member: Upstream, deadline: float, is_asked: bool, is_anew: bool) -> bool:
    loop = asyncio.get_running_loop()
    began = loop.time()
    if is_anew:
        member.transport.hang_up()
    member.transport.forgive()  # else it may only say what it said a moment ago
    try:
        if is_asked:
            await member.exchange(member.query(_ROOT_NS, True), deadline)
        else:
            await member.transport.connect(deadline)
    except TransportError as error:
        if not is_asked:
            member.failed(error, began)
        return False
    member.answered(loop.time())
    return True


async def find_page(look: Look, resolvers: Sequence[Upstream]) -> Page | None:
    """Look for a sign-in page, by address and then by name; ``resolvers`` are the network's own."""
    page = await look()
    if page is None and any([await _invents(member) for member in resolvers[:1]]):
        return Page(BY_NAME)
    return page


async def _invents(resolver: Upstream) -> bool:
    """Tell whether a resolver has an address of its own for a name whose addresses are fixed."""
    deadline = asyncio.get_running_loop().time() + NAME_S
    try:
        response = Message.parse(await resolver.exchange(resolver.query(_IPV4ONLY, False), deadline))
    except (TransportError, FormatError):
        return False
    addresses = {record.rdata for record in response.answer if record.rrtype == RRType.A}
    return response.rcode == RCode.NOERROR and bool(addresses - _FIXED)
