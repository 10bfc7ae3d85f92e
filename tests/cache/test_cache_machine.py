"""The cache against a tiny model of it, over random histories (oracle O6)."""

from dataclasses import dataclass
from operator import attrgetter

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from secdns.cache import MAX_STALE, Cache, Entry, from_message
from secdns.dns.message import AD, Message, Question, Record
from secdns.dns.name import from_text, is_subdomain
from secdns.iana import RCode
from tests.cache.answers import AAAA, A, asked, entry_of, failure, negative, query, record, response

NAMES = ["www.example.com", "www.example.com", "example.com"]  # few, so that histories meet
KINDS = ["answer", "answer", "nodata", "nxdomain", "failure", "local answer", "local nxdomain"]
LARGE, SMALL = 1 << 20, 1600  # the small one has room for three answers

names = st.sampled_from(NAMES)
types = st.sampled_from([A, AAAA])
cds = st.sampled_from([False, False, False, True])

Slot = tuple[str, int, bool]  # name, type (0: any, for NXDOMAIN) and CD


@dataclass
class Kept:
    """What the model knows of an entry that was stored."""

    entry: Entry
    slot: Slot
    stored: float
    ttl_s: int
    generation: int
    is_current: bool = True  # nothing has taken its place, no flush has met it

    @property
    def expires(self) -> float:
        return self.stored + self.ttl_s


def data(name: str, rrtype: int, ttl: int) -> Record:
    return record(name, rrtype, bytes(4 if rrtype == A else 16), ttl)


def make(kind: str, name: str, rrtype: int, ttl: int) -> Entry:
    """Give an entry of a kind."""
    match kind:
        case "answer":
            return entry_of(response(data(name, rrtype, ttl), name=name, rrtype=rrtype))
        case "nodata" | "nxdomain":
            rcode = RCode.NOERROR if kind == "nodata" else RCode.NXDOMAIN
            return entry_of(negative(name, rrtype, rcode=rcode, zone=name, ttl=ttl))
        case "failure":
            return failure(ttl_s=min(ttl, 5))
    made = Message(
        flags=RCode.NXDOMAIN if kind == "local nxdomain" else 0,
        question=(Question(from_text(name), rrtype),),
        answer=() if kind == "local nxdomain" else (data(name, rrtype, ttl),),
    )
    return from_message(made, ttl_s=ttl)


class CacheMachine(RuleBasedStateMachine):
    """Everything that the forwarder does to a cache, in any order.

    In the large space the cache holds exactly what the model holds. In the small one it may have
    lost any of it, and still never gives what the model would not.
    """

    @initialize(limit=st.sampled_from([LARGE, SMALL]), serve_stale=st.sampled_from([True, True, False]))
    def begin(self, limit: int, serve_stale: bool) -> None:
        self.cache = Cache(limit, serve_stale=serve_stale)
        self.is_exact = limit == LARGE
        self.limit = limit
        self.serve_stale = serve_stale
        self.now = 1000.0
        self.generation = 0
        self.kept: list[Kept] = []

    def fits(self, got: Entry | None, want: list[Kept]) -> bool:
        """Tell whether the cache gives the first of what the model has, or one of it, or nothing."""
        if self.is_exact:
            return got is (want[0].entry if want else None)
        return got is None or any(got is one.entry for one in want)

    def at(self, name: str, rrtype: int, cd: bool) -> list[Kept]:
        """Give what the model has for a question, the type's own before NXDOMAIN."""
        typed = [one for one in self.kept if one.is_current and one.slot == (name, rrtype, cd)]
        return typed + [one for one in self.kept if one.is_current and one.slot == (name, 0, cd)]

    def fresh(self, name: str, rrtype: int, cd: bool) -> list[Kept]:
        held = self.at(name, rrtype, cd)
        return [one for one in held if self.now < one.expires and one.generation == self.generation]

    def older(self, name: str, rrtype: int, cd: bool) -> list[Kept]:
        """Give what may be revived or served stale, the newest first."""
        held = [one for one in self.at(name, rrtype, cd) if not one.entry.is_local]
        return sorted(held, key=attrgetter("stored"), reverse=True)

    def stale(self, name: str, rrtype: int, cd: bool) -> list[Kept]:
        return [
            one
            for one in self.older(name, rrtype, cd)
            if self.serve_stale and not one.entry.is_failure and self.now < one.expires + MAX_STALE
        ]

    def retire(self, slot: Slot) -> None:
        for one in self.kept:
            if one.slot == slot:
                one.is_current = False

    @rule(
        kind=st.sampled_from(KINDS),
        name=names,
        rrtype=types,
        cd=cds,
        ttl=st.sampled_from([0, 3, 300]),
        secure=st.booleans(),
    )
    def store(self, kind: str, name: str, rrtype: int, cd: bool, ttl: int, secure: bool) -> None:
        entry = make(kind, name, rrtype, ttl)
        entry.secure = secure and not cd
        slot = (name, 0 if kind.endswith("nxdomain") else rrtype, cd)
        stale = self.stale(name, rrtype, cd)
        self.cache.store(self.cache.key(asked(query(name, rrtype, cd=cd))), entry, self.now)
        if kind != "failure":
            self.retire((name, rrtype, cd))
            self.retire(slot if slot[1] == 0 else (name, 0, cd))
        elif not stale:
            self.retire(slot)
        elif self.is_exact:
            assert stale[0].entry.retry_at == self.now + 30
            return
        if entry.ttl_s > 0:
            self.kept.append(Kept(entry, slot, self.now, entry.ttl_s, self.generation))
        self.now += 0.01  # no two are equally old

    @rule(seconds=st.sampled_from([0.3, 2.0, 299.0, 86_000.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(
        name=names,
        rrtype=types,
        bits=st.fixed_dictionaries({"cd": cds} | {bit: st.booleans() for bit in ("rd", "ad", "edns", "do")}),
    )
    def ask(self, name: str, rrtype: int, bits: dict[str, bool]) -> None:
        wire = query(name, rrtype, **bits)
        self.cache.tick(self.now)
        reply = self.cache.reply(wire, self.now)
        want = self.fresh(name, rrtype, bits["cd"])
        got = self.cache.find(self.cache.key(asked(wire)), self.now)
        assert self.fits(got, want)
        if got is None:
            assert isinstance(reply, tuple)
            return
        assert isinstance(reply, bytes)
        message = Message.parse(reply)
        one = next(one for one in want if one.entry is got)
        assert all(
            0 < shown.ttl < one.expires - self.now + 1 for shown in (*message.answer, *message.authority)
        )
        assert message.rcode == got.rcode
        has_do = bits["edns"] and bits["do"]
        assert bool(message.flags & AD) == (got.secure and not bits["cd"] and (bits["ad"] or has_do))

    @rule(name=names, rrtype=types, cd=cds)
    def ask_past_its_time(self, name: str, rrtype: int, cd: bool) -> None:
        sent = asked(query(name, rrtype, ad=True, cd=cd))
        got = self.cache.stale(self.cache.older(self.cache.key(sent)), self.now)
        assert self.fits(got, self.stale(name, rrtype, cd))
        if got is not None:
            message = Message.parse(got.stale_reply(sent))
            assert {shown.ttl for shown in (*message.answer, *message.authority)} <= {30}
            assert not message.flags & AD

    @rule(name=names, rrtype=types, cd=cds)
    def revive(self, name: str, rrtype: int, cd: bool) -> None:
        got = self.cache.revive(self.cache.older(self.cache.key(asked(query(name, rrtype, cd=cd)))), self.now)
        want = [one for one in self.older(name, rrtype, cd) if self.now < one.expires]
        assert self.fits(got, want)
        for one in want:
            if one.entry is got:
                one.generation = self.generation

    @rule()
    def reload(self) -> None:
        self.cache.renew()
        self.generation += 1
        assert self.cache.hot == {}

    @rule()
    def flush(self) -> None:
        dropped = self.cache.flush()
        assert self.cache.octets == 0
        assert not self.is_exact or dropped >= sum(one.is_current for one in self.kept)
        self.kept.clear()
        self.generation += 1

    @rule(name=names)
    def flush_name(self, name: str) -> None:
        below = [one for one in self.kept if is_subdomain(from_text(one.slot[0]), from_text(name))]
        dropped = self.cache.flush(from_text(name))
        assert not self.is_exact or dropped == sum(one.is_current for one in below)
        for one in below:
            one.is_current = False
        assert self.cache.hot == {}

    @invariant()
    def octets_are_bounded_and_counted_F26(self) -> None:
        assert self.cache.octets <= self.limit
        assert self.cache.octets == sum(entry.size for entry in self.cache._store.entries.values())


TestCacheAgainstItsModelO6 = CacheMachine.TestCase
TestCacheAgainstItsModelO6.settings = settings(stateful_step_count=40)
