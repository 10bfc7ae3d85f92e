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
from dataclasses import replace
from functools import partial

from secdns import BUILT_AT
from secdns.cache import Entry
from secdns.dns.edns import MAX_TEXT, extended_error, options_to_wire
from secdns.dns.message import Message, Question
from secdns.dns.name import ROOT, to_text
from secdns.dnssec.aggressive import Denials
from secdns.dnssec.chain import AnchorKeys, Trust
from secdns.dnssec.keys import BOGUS_FIRST_S, KeyCache
from secdns.dnssec.limits import Budget
from secdns.dnssec.times import shown
from secdns.dnssec.validator import validate
from secdns.dnssec.verdict import Answers, Ask, Batch, Reason, Status, Validation, Verdict
from secdns.errors import FormatError, ProtocolError, TransportError
from secdns.fetching import LATE_S, Avoid, Fetcher, Response, read_response
from secdns.iana import EDE, RCode, RRType, type_text
from secdns.trust import AnchorKeeper
from secdns.turns import Turns
from secdns.upstream import Done, Read, Upstream, UpstreamGroup

RETRY_RESERVE_S = 0.5  # less time than this left, and nobody else is asked any more
UNFIT_S = 60.0  # an upstream that strips signatures is not asked for this long …
LAST_UNFIT_S = 5.0  # … or for this long, if there is no other
COMPLAIN_EVERY_S = 300.0  # about what only a person can put right
INDETERMINATE_S = 2  # a chain that could not be fetched is tried again soon (RFC 9520 §3.2)

_LOG = logging.getLogger(__name__)


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
        self.fetcher = Fetcher(group)
        self.turns = Turns()
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
        denial = self._denial(_question(question), self.clock())
        if denial is not None:
            self.synthesized += 1
            entry = read(denial.to_wire(), self.group.members[0])
            entry.secure = True
            done(entry, None)
            return _nothing
        trial = _Trial(self, question, deadline, read, done)
        trial.ask(now, self.unfit(now))
        return trial.stop

    def _denial(self, question: Question, clock: float) -> Message | None:
        """Give the denial that follows from proofs held; where nothing is checked nothing follows."""
        if self.trust.anchors.covers(question.name, clock) is not None:
            return None
        return self.denials.answer(question, clock)

    def network_changed(self, *, is_clock: bool) -> None:
        """Forget what failed and who was unfit; if the clock was set, also what was judged by it."""
        self._unfit.clear()
        if is_clock:
            self.forget()
        else:
            self.trust.keys.forgive()

    def forget(self) -> None:
        """Forget all that was learnt from answers: keys, broken chains, denials."""
        self.trust = replace(self.trust, keys=KeyCache())
        self.denials = Denials()

    def waive(self, name: bytes, for_s: float) -> None:
        """Do not judge what is at ``name`` or below for so many seconds (RFC 7646).

        Raises:
            ValueError: there are as many such names as there may be.
        """
        self.keeper.waive(name, self.clock(), for_s)
        self.trust = replace(self.trust, anchors=self.keeper.anchors())
        self.forget()

    def unfit(self, now: float) -> Avoid:
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
        rest = set(self.group.members) - {member} - self.unfit(now)
        self._unfit[member] = now + (UNFIT_S if rest else LAST_UNFIT_S)


class _Trial:
    """One question on its way to a verdict.

    It has one answer in the end whatever happens: from its upstream, from the validator, or from
    its own timer, where a link was asked for by somebody with more patience.
    """

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
        self._avoid: Avoid = frozenset()
        self._give_up: Callable[[], None] | None = None
        self._is_over = False
        self._response: Response | None = None
        self._steps: Validation | None = None
        self._got: list[Message | None] = []
        self._missing: dict[Ask, Callable[[], None]] = {}  # how to leave who is asking for it
        self._timer: asyncio.TimerHandle | None = None
        self._clock_says: int | None = None  # what the clock says, if that cannot be right
        self._stripped_root = False  # the keys of the root came without a signature
        self._bogus: tuple[Verdict, Upstream] | None = None  # what the first upstream's answer was worth

    def ask(self, now: float, avoid: Avoid) -> None:
        """Ask the group, leaving out the members in ``avoid``."""
        self._avoid = avoid
        self._stripped_root = False
        group = self._owner.group
        if not avoid.issuperset(group.members):
            self._give_up = group.submit(
                self._question, True, now, self._deadline, read_response, self._answered, avoid
            )
        elif self._bogus is not None:
            self._conclude(self._bogus[0], [self._bogus[1]])
        else:
            names = ", ".join(member.name for member in group.members)
            text = f"no upstream passes on DNSSEC signatures, choose one that does; asked {names}"
            self._finish(_failure(Reason(EDE.RRSIGS_MISSING, text), BOGUS_FIRST_S), None)

    def stop(self) -> None:
        """Give up; ``done`` is called no more."""
        self._is_over = True
        if self._give_up is not None:
            self._give_up()
        if self._timer is not None:
            self._timer.cancel()
        for leave in tuple(self._missing.values()):
            leave()
        self._missing.clear()

    def _finish(self, entry: Entry | None, error: TransportError | None) -> None:
        if not self._is_over:
            self.stop()
            self._done(entry, error)

    # Asking.

    def _answered(self, response: Response | None, error: TransportError | None) -> None:
        self._give_up = None
        if response is not None and not response.is_failure:
            self._response = response
            self._owner.turns.begin(self._begin)
        elif self._bogus is not None:  # the other upstream has nothing better
            self._conclude(self._bogus[0], [self._bogus[1]])
        elif response is None:
            self._finish(None, error)
        else:
            self._finish(*self._readable(response.wire, response.member))

    def _begin(self) -> None:
        response, owner = self._response, self._owner
        if self._is_over or response is None:
            return
        now = self._loop.time()
        unfit = owner.unfit(now)
        if response.member in unfit:  # found out since it was asked
            self.ask(now, self._avoid | unfit)
            return
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

    def _advance(self, answers: Answers | None) -> None:
        """Let the validator go on until it wants something or is done."""
        if self._is_over or self._steps is None:
            return
        try:
            self._step(self._steps, answers)
        except Exception:  # a bug of ours: it must cost one answer and say so
            _LOG.exception("cannot judge an answer")
            self._finish(None, TransportError("internal error while checking signatures, see the log"))

    def _step(self, steps: Validation, answers: Answers | None) -> None:
        try:
            batch = next(steps) if answers is None else steps.send(answers)
        except StopIteration as end:
            verdict: Verdict = end.value
        else:
            self._ask_all(batch)
            return
        self._judged(verdict)

    def _ask_all(self, batch: Batch) -> None:
        if not batch:
            self._owner.turns.rest(partial(self._advance, ()))
            return
        if self._timer is None:
            self._timer = self._loop.call_at(self._deadline + LATE_S, self._late)
        got: list[Message | None] = [None] * len(batch)
        self._got = got
        self._missing = dict.fromkeys(batch, _nothing)
        now = self._loop.time()
        for index, ask in enumerate(batch):
            take = partial(self._take, got, index, ask)
            leave = self._owner.fetcher.fetch(ask, now, self._deadline, self._avoid, take)
            if self._got is got and ask in self._missing:
                self._missing[ask] = leave

    def _take(self, got: list[Message | None], index: int, ask: Ask, response: Response | None) -> None:
        if self._is_over or got is not self._got:
            return
        if response is not None:
            got[index] = response.message
            if ask == _ROOT_KEYS and not response.is_failure and not _has_signature(response.message):
                self._stripped_root = True
                self._owner.mark_unfit(response.member, self._loop.time())
        self._missing.pop(ask, None)
        if not self._missing:
            self._owner.turns.go_on(partial(self._advance, tuple(got)))

    def _late(self) -> None:
        """Wait no longer for a link that somebody with more patience has asked for."""
        if self._bogus is not None:
            self._conclude(self._bogus[0], [self._bogus[1]])
            return
        links = [f"{to_text(ask.name)} {type_text(ask.rrtype)}" for ask in self._missing]
        what = ", ".join(links) or "the chain of signatures"
        reason = Reason(EDE.NO_REACHABLE_AUTHORITY, f"the upstream gave no answer in time for {what}")
        self._finish(_failure(reason, INDETERMINATE_S), None)

    # Judging.

    def _judged(self, verdict: Verdict) -> None:
        response = self._response
        if response is None:
            return
        owner = self._owner
        if verdict.anchor_keys is not None:
            owner.observe(verdict.anchor_keys)
        if verdict.status is Status.BOGUS and self._clock_says is not None:
            text = f"the clock of this machine says {shown(self._clock_says)}, long ago: set it"
            reason = Reason(EDE.SIGNATURE_NOT_YET_VALID, text)
            self._finish(_failure(reason, INDETERMINATE_S), None)
        elif verdict.status is Status.BOGUS:
            self._judged_bogus(verdict, response.member)
        elif verdict.status is Status.INDETERMINATE and self._bogus is not None:
            self._conclude(self._bogus[0], [self._bogus[1]])
        elif verdict.status is Status.INDETERMINATE:
            self._finish(_failure(verdict.reason, INDETERMINATE_S), None)
        else:
            if self._bogus is not None:
                self._blame(self._bogus[1], response.member)
            if verdict.status is Status.SECURE:
                response.member.believed()
            self._finish(*self._entry(verdict, response))

    def _entry(self, verdict: Verdict, response: Response) -> tuple[Entry | None, TransportError | None]:
        unchanged = verdict.message is response.message
        wire = response.wire if unchanged else verdict.message.to_wire()
        entry, error = self._readable(wire, response.member)
        if entry is None:
            return None, error
        entry.secure = verdict.status is Status.SECURE
        entry.nxname = verdict.nxname
        entry.cap_ttl(verdict.ttl_s)
        if verdict.denied is not None:
            self._owner.denials.learn(verdict.denied, min(entry.ttl_s, verdict.ttl_s), self._owner.clock())
        if verdict.reason is not None and verdict.reason.ede is not None:
            entry.options = _ede(verdict.reason)
        return entry, None

    def _readable(self, wire: bytes, member: Upstream) -> tuple[Entry | None, TransportError | None]:
        try:
            return self._read(wire, member), None
        except FormatError as error:
            return None, ProtocolError(f"{member.name}: unusable answer: {error}")

    def _judged_bogus(self, verdict: Verdict, member: Upstream) -> None:
        """Ask once more, elsewhere; if that was done, say no."""
        now = self._loop.time()
        if self._stripped_root and verdict.zone == ROOT:  # which says nothing about any name
            self.ask(now, self._avoid | self._owner.unfit(now))
            return
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
        liar.lied(self._loop.time())
        _LOG.debug("%s gave a bogus answer for %s, %s a good one", liar.name, name, honest.name)


def _question(octets: bytes) -> Question:
    return Question(octets[:-4], int.from_bytes(octets[-4:-2]))


def _nothing() -> None:
    """There is nothing to give up."""


_ROOT_KEYS = Ask(ROOT, RRType.DNSKEY)


def _has_signature(message: Message) -> bool:
    return any(record.rrtype == RRType.RRSIG for record in message.answer)


def _ede(reason: Reason, more: str = "") -> bytes:
    code = EDE.DNSSEC_INDETERMINATE if reason.ede is None else reason.ede
    text = reason.text  # of ASCII
    if len(text) + len(more) > MAX_TEXT:  # what matters least stands last
        text = text[: max(MAX_TEXT - len(more) - 4, 0)].rpartition(" ")[0].rstrip(",:") + " ..."
    return options_to_wire((extended_error(code, text + more),))


def _failure(reason: Reason | None, ttl_s: int, more: str = "") -> Entry:
    reason = reason or Reason(EDE.DNSSEC_INDETERMINATE, "it could not be told whether the answer is genuine")
    return Entry(RCode.SERVFAIL, ttl_s=ttl_s, options=_ede(reason, more), is_failure=True)
