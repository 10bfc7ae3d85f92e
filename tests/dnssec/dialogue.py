"""Drive the validator by hand: what it asks is answered from zones in memory, and written down."""

from collections.abc import Callable

from secdns.dns.edns import EDNS
from secdns.dns.message import Message, Question, make_query
from secdns.dns.name import from_text, to_text
from secdns.dnssec.anchors import Anchors, parse_all
from secdns.dnssec.chain import Link, Trust
from secdns.dnssec.limits import Budget
from secdns.dnssec.validator import validate
from secdns.dnssec.verdict import Ask, Verdict
from secdns.iana import RRType, type_text
from secdns.testing import SignedZones

Answering = Callable[[Ask], Message | None]


def trust_in(zones: SignedZones, *waived: str, sha1: bool = False) -> Trust:
    """Trust the root of some zones."""
    from secdns.dnssec.algorithms import Policy

    anchors = Anchors.of(parse_all(zones.trust_anchors()), [from_text(name) for name in waived])
    return Trust(anchors, Policy(sha1=sha1))


class Dialogue:
    """A validator in front of zones; what it knows lasts from one question to the next.

    ``asked`` has the batches of the last question, each link as ``"secure.test. DS"``.
    ``changed`` may replace the answer to any question, the first included.
    """

    def __init__(self, zones: SignedZones, trust: Trust | None = None) -> None:
        self.zones = zones
        self.trust = trust or trust_in(zones)
        self.now = 1000.0
        self.wall = zones.now
        self.asked: list[tuple[str, ...]] = []
        self.budget = Budget()
        self.trail: list[Link] = []
        self.change: Callable[[Question, Message], Message | None] = lambda question, message: message

    def answer(self, question: Question) -> Message | None:
        """Give what the upstream says."""
        query = make_query(question.name, question.rrtype, id=0, cd=True, edns=EDNS(do=True))
        return self.change(question, Message.parse(self.zones.answer(query)))

    def judge(self, name: str, rrtype: RRType = RRType.A) -> Verdict:
        """Ask, and have the answer judged."""
        question = Question(from_text(name), rrtype)
        message = self.answer(question)
        assert message is not None
        return self.judge_message(question, message)

    def judge_message(self, question: Question, message: Message) -> Verdict:
        """Have this answer judged."""
        self.asked = []
        self.trail = []
        self.budget = Budget()
        steps = validate(question, message, self.trust, self.wall, self.now, self.budget, self.trail)
        try:
            batch = next(steps)
            while True:
                if batch:
                    self.asked.append(tuple(f"{to_text(ask.name)} {type_text(ask.rrtype)}" for ask in batch))
                batch = steps.send(tuple(self.answer(Question(ask.name, ask.rrtype)) for ask in batch))
        except StopIteration as end:
            verdict = end.value
            assert isinstance(verdict, Verdict)
            return verdict
