"""Drive the validator by hand: what it asks is answered from zones in memory, and written down."""

from collections.abc import Callable, Iterable

from secdns.dns.edns import EDNS
from secdns.dns.message import Message, Question, Record, make_query
from secdns.dns.name import from_text, to_text
from secdns.dnssec.algorithms import Policy
from secdns.dnssec.anchors import Anchors, parse_all
from secdns.dnssec.canonical import canonical_rdata
from secdns.dnssec.chain import Link, Trust
from secdns.dnssec.limits import SIGNATURES, Budget
from secdns.dnssec.validator import validate
from secdns.dnssec.verdict import Status, Verdict
from secdns.iana import RRType, type_text
from secdns.testing import SignedZones
from secdns.testing.hierarchy import Fault

SECURE, INSECURE, BOGUS, INDETERMINATE = Status.SECURE, Status.INSECURE, Status.BOGUS, Status.INDETERMINATE
Batches = list[tuple[str, ...]]


def trust_in(zones: SignedZones, *waived: str, sha1: bool = False) -> Trust:
    """Trust the root of some zones."""
    return trust_anchors(*zones.trust_anchors(), waived=waived, sha1=sha1)


def trust_anchors(*texts: str, waived: Iterable[str] = (), sha1: bool = False) -> Trust:
    """Trust what is written here in presentation form."""
    anchors = Anchors.of(parse_all(texts), [from_text(name) for name in waived])
    return Trust(anchors, Policy(sha1=sha1))


class Dialogue:
    """A validator in front of zones; what it knows lasts from one question to the next.

    ``asked`` has the batches of the last question, each link as ``"secure.test. DS"``; ``turns``
    how many signatures were checked before each time that the event loop had a turn, and after the
    last. ``change`` may replace the answer to any question, the first included; None is no answer.
    """

    def __init__(self, zones: SignedZones, trust: Trust | None = None) -> None:
        self.zones = zones
        self.trust = trust or trust_in(zones)
        self.now = 1000.0
        self.wall = zones.now
        self.asked: Batches = []
        self.turns: list[int] = []
        self.budget = Budget()
        self.trail: list[Link] = []
        self.change: Callable[[Question, Message], Message | None] = lambda question, message: message

    @property
    def queries(self) -> int:
        """How many links the last question took."""
        return sum(len(batch) for batch in self.asked)

    @property
    def spent(self) -> int:
        """How many signatures were checked for the last question."""
        return SIGNATURES.default - self.budget.signatures

    def honest(self, question: Question) -> Message:
        """Give what the zones say."""
        query = make_query(question.name, question.rrtype, id=0, cd=True, edns=EDNS(do=True))
        return Message.parse(self.zones.answer(query))

    def judge(self, name: str, rrtype: int = RRType.A, *faults: Fault) -> Verdict:
        """Ask, and have the answer judged; ``faults`` spoil it and its links."""
        before = self.zones.faults
        if faults:
            self.zones.faults = faults
        question = Question(from_text(name), rrtype)
        message = self.change(question, self.honest(question))
        assert message is not None
        verdict = self.judge_message(question, message)
        if faults:
            self.zones.faults = before
        return verdict

    def judge_message(self, question: Question, message: Message) -> Verdict:
        """Have this answer judged."""
        self.asked = []
        self.turns = []
        self.trail = []
        self.budget = Budget()
        left = self.budget.signatures
        steps = validate(question, message, self.trust, self.wall, self.now, self.budget, self.trail)
        answers: tuple[Message | None, ...] | None = None
        try:
            while True:
                batch = next(steps) if answers is None else steps.send(answers)
                self.turns.append(left - self.budget.signatures)
                left = self.budget.signatures
                if batch:
                    self.asked.append(tuple(f"{to_text(ask.name)} {type_text(ask.rrtype)}" for ask in batch))
                links = [Question(ask.name, ask.rrtype) for ask in batch]
                answers = tuple(self.change(link, self.honest(link)) for link in links)
        except StopIteration as end:
            self.turns.append(left - self.budget.signatures)
            verdict = end.value
            assert isinstance(verdict, Verdict)
            return verdict


def data_of(records: Iterable[Record]) -> set[tuple[bytes, int, bytes]]:
    """Give what records say, signatures aside, letter case where it means nothing too."""
    return {
        (record.name.lower(), record.rrtype, canonical_rdata(record.rrtype, record.rdata))
        for record in records
        if record.rrtype != RRType.RRSIG
    }


def knows_no_lie(dialogue: Dialogue) -> bool:
    """Tell whether all that the key cache holds is so, whoever said what."""
    keys, now = dialogue.trust.keys, dialogue.now
    for apex, zone in dialogue.zones._zones.items():
        held = keys.zone(apex, now)
        if keys.is_no_cut(apex, now):
            return False
        if held is not None and held.status is SECURE:
            if {key.rdata for key in held.keys} != {key.rdata for key in zone.keys}:
                return False
        elif held is not None and zone.ds() and is_chained(dialogue.zones, apex):
            return False
    return True


def is_chained(zones: SignedZones, apex: bytes) -> bool:
    """Tell whether DS records lead from the root to a zone."""
    while len(apex) > 1:
        if not zones.zone_of(apex, RRType.DS).rrset(apex, RRType.DS):
            return False
        apex = zones.zone_of(apex, RRType.DS).apex
    return True
