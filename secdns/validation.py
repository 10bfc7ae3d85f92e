"""Have the answers of an upstream group judged before anyone sees them.

``ValidatingGroup`` is asked like the group behind it. It asks with CD set (RFC 6840 §5.9), hands
the answer to the pure validator, asks for the DS and DNSKEY records that this wants, and gives an
entry for the cache: secure, insecure, or the failure with the reason in words. What is bogus is
asked once more of another upstream first, for the zone may be fine and the upstream not.

    submit ─▶ group ─▶ answer ─▶ validate ─▶ asks ─▶ group ─▶ … ─▶ verdict ─▶ entry
                ▲                                                   │ bogus, the first time
                └───────────── another upstream ◀───────────────────┘
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from math import inf

from secdns import BUILT_AT
from secdns.cache import Entry
from secdns.dns.edns import MAX_TEXT, extended_error, options_to_wire
from secdns.dns.message import Message, Question
from secdns.dns.name import ROOT, to_text
from secdns.dnssec.aggressive import Denials
from secdns.dnssec.chain import AnchorKeys, Trust
from secdns.dnssec.keys import BOGUS_FIRST_S
from secdns.dnssec.limits import Budget
from secdns.dnssec.times import shown
from secdns.dnssec.validator import validate
from secdns.dnssec.verdict import Answers, Ask, Batch, Reason, Status, Validation, Verdict
from secdns.errors import FormatError, ProtocolError, TransportError
from secdns.iana import EDE, RCode, RRClass, RRType
from secdns.trust import AnchorKeeper
from secdns.upstream import Done, Read, Upstream, UpstreamGroup

RETRY_RESERVE_S = 0.5  # less time than this left, and nobody else is asked any more
UNFIT_S = 60.0  # an upstream that strips signatures is not asked for this long
COMPLAIN_EVERY_S = 300.0  # about what only a person can put right
INDETERMINATE_S = 2  # a chain that could not be fetched is tried again soon (RFC 9520 §3.2)

_ANSWERS = frozenset({RCode.NOERROR, RCode.NXDOMAIN, RCode.YXDOMAIN})
_LOG = logging.getLogger(__name__)
_Avoid = frozenset[Upstream]


@dataclass(frozen=True, slots=True)
class _Response:
    wire: bytes
    message: Message
    member: Upstream

    @property
    def is_failure(self) -> bool:
        """Its RCODE is no answer."""
        return self.message.rcode not in _ANSWERS


def _read(wire: bytes, member: Upstream) -> _Response:
    message = Message.parse(wire)
    if message.truncated:
        raise FormatError("truncated answer on a stream")
    return _Response(wire, message, member)


class ValidatingGroup:
    """An upstream group whose answers are judged. Belongs to the event loop.

    ``trust`` is what ``keeper`` gave; the keeper is shown the keys of trust anchors as they are
    seen. ``clock`` gives the cache's seconds, ``wall`` seconds since 1970.
    """

    def __init__(
        self,
        group: UpstreamGroup,
        keeper: AnchorKeeper,
        *,
        trust: Trust | None = None,
        clock: Callable[[], float],
        wall: Callable[[], float],
    ) -> None:
        self.group = group
        self.keeper = keeper
        self.trust = trust or keeper.trust()
        self.clock = clock
        self.wall = wall
        self.denials = Denials()
        self.synthesized = 0  # answers that followed from proofs held
        self._asking: dict[tuple[Ask, _Avoid], list[Callable[[_Response | None], None]]] = {}
        self._unfit: dict[Upstream, float] = {}
        self._complain_at = 0.0

    def submit(
        self, question: bytes, cd: bool, now: float, deadline: float, read: Read[Entry], done: Done[Entry]
    ) -> Callable[[], None]:
        """Ask, judge, and call ``done`` once with an entry or the reason why there is none.

        As ``UpstreamGroup.submit``; with ``cd`` the answer is given unjudged (RFC 4035 §3.2.2).
        """
        if cd:
            return self.group.submit(question, True, now, deadline, read, done)
        denial = self.denials.answer(_question(question), self.clock())
        if denial is not None:
            self.synthesized += 1
            entry = read(denial.to_wire(), self.group.members[0])
            entry.secure = True
            done(entry, None)
            return _nothing
        trial = _Trial(self, question, deadline, read, done)
        trial.ask(now, self.unfit(now))
        return trial.stop

    def ask(
        self, ask: Ask, now: float, deadline: float, avoid: _Avoid, done: Callable[[_Response | None], None]
    ) -> None:
        """Ask for one link of a chain, once for all who want it at the same time."""
        key = (ask, avoid)
        waiting = self._asking.get(key)
        if waiting is not None:
            waiting.append(done)
            return
        self._asking[key] = [done]
        question = ask.name + ask.rrtype.to_bytes(2) + RRClass.IN.to_bytes(2)
        self.group.submit(question, True, now, deadline, _read, partial(self._asked, key), avoid)

    def _asked(
        self, key: tuple[Ask, _Avoid], response: _Response | None, error: TransportError | None
    ) -> None:
        for done in self._asking.pop(key):
            done(response)

    def unfit(self, now: float) -> _Avoid:
        """Give the upstreams that strip signatures."""
        if not self._unfit:
            return frozenset()
        self._unfit = {member: until for member, until in self._unfit.items() if until > now}
        return frozenset(self._unfit)

    def is_clock_wrong(self, wall: int) -> bool:
        """Tell whether the clock shows a time before this program was made; say so out loud."""
        if wall >= BUILT_AT:
            return False
        now = self.clock()
        if now >= self._complain_at:
            self._complain_at = now + COMPLAIN_EVERY_S
            _LOG.error(
                "the clock says %s, which is before this version was made: no signature can be checked until "
                "it is set; only names of time servers are answered",
                shown(wall),
            )
        return True

    def complain(self, reason: Reason) -> None:
        """Say out loud that trust does not even begin, from time to time (never a silent downgrade)."""
        now = self.clock()
        if now >= self._complain_at:
            self._complain_at = now + COMPLAIN_EVERY_S
            _LOG.error("every name below is refused, a trust anchor does not hold: %s", reason.text)

    def trust_without_time(self) -> Trust:
        """Give what is trusted while the clock is wrong: time servers are not checked."""
        return replace(self.trust, anchors=self.trust.anchors.without_time())

    def observe(self, seen: AnchorKeys) -> None:
        """Follow the keys of a trust anchor (RFC 5011); their state is written in a thread."""
        wall = int(self.wall())
        if not self.keeper.observe(seen, wall):
            return
        self.trust = replace(self.trust, anchors=self.keeper.anchors())
        loop = asyncio.get_running_loop()
        loop.run_in_executor(None, self.keeper.save, self.keeper.state(wall))

    def mark_unfit(self, member: Upstream, now: float) -> None:
        """Ask this upstream no more for a while: it takes the signatures out of its answers."""
        if member not in self._unfit:
            _LOG.warning("upstream %s strips DNSSEC signatures and cannot be used to check any", member.name)
        self._unfit[member] = now + UNFIT_S


class _Trial:
    """One question on its way to a verdict."""

    def __init__(
        self, owner: ValidatingGroup, question: bytes, deadline: float, read: Read[Entry], done: Done[Entry]
    ) -> None:
        self._owner = owner
        self._question = question
        self._deadline = deadline
        self._read = read
        self._done = done
        self._loop = asyncio.get_running_loop()
        self._budget = Budget()
        self._avoid: _Avoid = frozenset()
        self._give_up: Callable[[], None] | None = None
        self._is_over = False
        self._response: _Response | None = None
        self._steps: Validation | None = None
        self._got: list[Message | None] = []
        self._missing = 0
        self._clock_says: int | None = None  # what the clock says, if that cannot be right
        self._root_from: Upstream | None = None  # who gave the keys of the root
        self._bogus: tuple[Verdict, Upstream] | None = None  # what the first upstream's answer was worth

    def ask(self, now: float, avoid: _Avoid) -> None:
        """Ask the group, leaving out the members in ``avoid``."""
        self._avoid = avoid
        group = self._owner.group
        if avoid.issuperset(group.members):
            names = ", ".join(member.name for member in group.members)
            text = f"no upstream passes on DNSSEC signatures: {names}"
            self._finish(None, ProtocolError(text, hint="choose an upstream that supports DNSSEC"))
            return
        self._give_up = group.submit(self._question, True, now, self._deadline, _read, self._answered, avoid)

    def stop(self) -> None:
        """Give up; ``done`` is called no more."""
        self._is_over = True
        if self._give_up is not None:
            self._give_up()

    def _finish(self, entry: Entry | None, error: TransportError | None) -> None:
        if not self._is_over:
            self._is_over = True
            self._done(entry, error)

    # Asking.

    def _answered(self, response: _Response | None, error: TransportError | None) -> None:
        self._give_up = None
        if response is not None and not response.is_failure:
            self._response = response
            owner = self._owner
            wall = int(owner.wall())
            self._clock_says = wall if owner.is_clock_wrong(wall) else None
            self._steps = validate(
                _question(self._question),
                response.message,
                owner.trust if self._clock_says is None else owner.trust_without_time(),
                wall,
                owner.clock(),
                self._budget,
            )
            self._advance(None)
        elif self._bogus is not None:  # the other upstream has nothing better
            self._conclude(self._bogus[0], [self._bogus[1]])
        elif response is None:
            self._finish(None, error)
        else:
            self._finish(self._read(response.wire, response.member), None)

    def _advance(self, answers: Answers | None) -> None:
        """Let the validator go on until it wants something or is done."""
        if self._is_over or self._steps is None:
            return
        try:
            batch = next(self._steps) if answers is None else self._steps.send(answers)
        except StopIteration as end:
            self._judged(end.value)
        except Exception:  # a bug of ours: it must cost one answer and say so
            _LOG.exception("cannot judge an answer")
            self._finish(None, TransportError("internal error while checking signatures, see the log"))
        else:
            self._ask_all(batch)

    def _ask_all(self, batch: Batch) -> None:
        if not batch:
            self._loop.call_soon(self._advance, ())
            return
        self._got = [None] * len(batch)
        self._missing = len(batch)
        now = self._loop.time()
        for index, ask in enumerate(batch):
            self._owner.ask(ask, now, self._deadline, self._avoid, partial(self._take, index, ask))

    def _take(self, index: int, ask: Ask, response: _Response | None) -> None:
        if response is not None:
            self._got[index] = response.message
            if ask == _ROOT_KEYS:
                self._root_from = response.member
        self._missing -= 1
        if not self._missing:
            self._advance(tuple(self._got))

    # Judging.

    def _judged(self, verdict: Verdict) -> None:
        response = self._response
        if response is None:
            return
        if verdict.anchor_keys is not None:
            self._owner.observe(verdict.anchor_keys)
        if verdict.status is Status.BOGUS and self._clock_says is not None:
            text = f"the clock of this machine says {shown(self._clock_says)}, long ago: set it"
            reason = Reason(EDE.SIGNATURE_NOT_YET_VALID, text)
            self._finish(_failure(reason, INDETERMINATE_S), None)
        elif verdict.status is Status.BOGUS:
            self._judged_bogus(verdict, response.member)
        elif verdict.status is Status.INDETERMINATE:
            self._finish(_failure(verdict.reason, INDETERMINATE_S), None)
        else:
            if self._bogus is not None:
                self._blame(self._bogus[1], response.member)
            self._finish(*self._entry(verdict, response))

    def _entry(self, verdict: Verdict, response: _Response) -> tuple[Entry | None, TransportError | None]:
        unchanged = verdict.message is response.message
        try:
            entry = self._read(response.wire if unchanged else verdict.message.to_wire(), response.member)
        except FormatError as error:
            return None, ProtocolError(f"{response.member.name}: unusable answer: {error}")
        entry.secure = verdict.status is Status.SECURE
        entry.cap_ttl(verdict.ttl_s)
        if verdict.denied is not None:
            self._owner.denials.learn(verdict.denied, min(entry.ttl_s, verdict.ttl_s), self._owner.clock())
        if verdict.reason is not None and verdict.reason.ede is not None:
            entry.options = _ede(verdict.reason)
        return entry, None

    def _judged_bogus(self, verdict: Verdict, member: Upstream) -> None:
        """Ask once more, elsewhere; if that was done, say no."""
        now = self._loop.time()
        if _is_stripped(verdict) and self._root_from is not None:
            self._owner.mark_unfit(self._root_from, now)
        if self._bogus is not None:
            self._conclude(verdict, [self._bogus[1], member])
            return
        known = (
            None if verdict.zone is None else self._owner.trust.keys.zone(verdict.zone, self._owner.clock())
        )
        if known is not None and known.status is Status.BOGUS:  # both were asked a moment ago
            self._finish(_failure(verdict.reason, BOGUS_FIRST_S), None)
            return
        avoid = self._avoid | {member} | self._owner.unfit(now)
        if avoid.issuperset(self._owner.group.members) or self._deadline - now < RETRY_RESERVE_S:
            self._conclude(verdict, [member])
            return
        self._bogus = (verdict, member)
        self.ask(now, avoid)

    def _conclude(self, verdict: Verdict, asked: list[Upstream]) -> None:
        """Refuse the answer, and remember where the chain is broken."""
        reason = verdict.reason or Reason(EDE.DNSSEC_BOGUS, "the answer fails validation")
        keys, now = self._owner.trust.keys, self._owner.clock()
        if verdict.zone in self._owner.trust.anchors.trusted:
            self._owner.complain(reason)
        if verdict.zone is not None:
            pause_s = keys.refuse(verdict.zone, reason, now)
        else:
            pause_s = keys.strike(self._question, now)
        names = " and ".join(dict.fromkeys(member.name for member in asked))
        self._finish(_failure(reason, pause_s, f"; asked {names}"), None)

    def _blame(self, liar: Upstream, honest: Upstream) -> None:
        """Hold an answer that failed validation against its upstream: another had a good one."""
        name = to_text(self._question[:-4])
        liar.failed(ProtocolError("an answer of its failed validation, another upstream's did not"), inf)
        _LOG.debug("%s gave a bogus answer for %s, %s a good one", liar.name, name, honest.name)


def _question(octets: bytes) -> Question:
    return Question(octets[:-4], int.from_bytes(octets[-4:-2]))


def _nothing() -> None:
    """There is nothing to give up."""


_ROOT_KEYS = Ask(ROOT, RRType.DNSKEY)


def _is_stripped(verdict: Verdict) -> bool:
    """Tell whether the signatures of the root's own keys were missing: no zone is at fault then."""
    reason = verdict.reason
    return verdict.zone == ROOT and reason is not None and reason.ede == EDE.RRSIGS_MISSING


def _ede(reason: Reason, more: str = "") -> bytes:
    code = EDE.DNSSEC_INDETERMINATE if reason.ede is None else reason.ede
    text = reason.text  # of ASCII
    if len(text) + len(more) > MAX_TEXT:  # what matters least stands last
        text = text[: max(MAX_TEXT - len(more) - 4, 0)].rpartition(" ")[0].rstrip(",:") + " ..."
    return options_to_wire((extended_error(code, text + more),))


def _failure(reason: Reason | None, ttl_s: int, more: str = "") -> Entry:
    reason = reason or Reason(EDE.DNSSEC_INDETERMINATE, "it could not be told whether the answer is genuine")
    return Entry(RCode.SERVFAIL, ttl_s=ttl_s, options=_ede(reason, more), is_failure=True)
