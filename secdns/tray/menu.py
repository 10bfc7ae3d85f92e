"""What the menu says and offers, from what the daemon said. Pure: the same view gives the same menu."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from secdns.control.schema import Check, Problem, Status, UpstreamInfo, Upstreams
from secdns.tray.texts import clean, sentence, wrapped
from secdns.tray.view import Look, View

PAUSES: Final = ((30, "30 seconds"), (300, "5 minutes"), (3600, "1 hour"))
ALLOW_FOR_S: Final = 3600
MAX_NAME: Final = 40  # characters of a name in a line that says more than it


@dataclass(frozen=True, slots=True)
class Use:
    """Ask this upstream first; None: in the order of the configuration."""

    upstream: str | None


@dataclass(frozen=True, slots=True)
class PauseFor:
    """Pause for so long."""

    for_s: int


@dataclass(frozen=True, slots=True)
class Resume:
    """End the pause."""


@dataclass(frozen=True, slots=True)
class Allow:
    """Let a name through although its signatures do not fit."""

    name: str
    for_s: int


@dataclass(frozen=True, slots=True)
class SignIn:
    """Open the page that this network wants people to sign in at."""


@dataclass(frozen=True, slots=True)
class CheckNow:
    """Ask how things are, and tell."""


@dataclass(frozen=True, slots=True)
class Quit:
    """End the tray; the daemon goes on."""


@dataclass(frozen=True, slots=True)
class TurnOn:
    """Have this machine ask the daemon."""


@dataclass(frozen=True, slots=True)
class TurnOff:
    """Give the machine's own DNS settings back."""


Action = Use | PauseFor | Resume | Allow | SignIn | CheckNow | Quit | TurnOn | TurnOff


class Kind(StrEnum):
    """How an item is drawn."""

    PLAIN = "plain"
    RADIO = "radio"
    SEPARATOR = "separator"


@dataclass(frozen=True, slots=True)
class Item:
    """One line of the menu. ``key`` tells it from all others and stays when its words change.

    What has neither an action nor items below it only says something, and cannot be clicked.
    """

    key: str
    label: str = ""
    action: Action | None = None
    kind: Kind = Kind.PLAIN
    is_on: bool = False
    is_enabled: bool = True
    items: tuple["Item", ...] = ()

    @property
    def can_be_clicked(self) -> bool:
        """A click does something, or opens what is below."""
        return self.is_enabled and (self.action is not None or bool(self.items))


TITLES: Final = {
    Look.SECURE: "Protected",
    Look.CHECKING: "Checking",
    Look.PAUSED: "Paused: not protected",
    Look.BLOCKED: "No upstream answers",
    Look.OFFLINE: "No network",
    Look.SIGN_IN: "This network wants you to sign in",
    Look.VPN: "A VPN wants to be asked for every name",
    Look.UNUSED: "Running, but this machine does not use it",
    Look.GONE: "Not protected: secdns does not answer",
}


TAKEN_OVER: Final = "Not protected: another program controls DNS"
WRONG_CLOCK: Final = "The clock of this machine is wrong"


def headline(view: View) -> str:
    """Say in one line how things are; of what is well also by whom and how fast."""
    title = TITLES[view.look]
    if view.look is Look.UNUSED and is_overruled(view):
        return TAKEN_OVER
    if view.look is Look.BLOCKED and view.status is not None and view.status.clock is not None:
        return WRONG_CLOCK
    if view.look is Look.SECURE and view.status is not None:
        return f"{title} – {_upstream(view.status.upstream)}"
    if view.look is Look.PAUSED and view.status is not None and view.status.pause is not None:
        return f"{title}, {left(view.status.pause.left_s)} left"
    if view.look is Look.SIGN_IN and view.status is not None and (left_s := _open_for_s(view.status)):
        return f"Signing in: not protected, {left(left_s)} left"
    return title


def build(view: View) -> tuple[Item, ...]:
    """Give the menu, from top to bottom."""
    blocks = [tuple(_top(view))]
    if view.status is not None and view.error is None:
        blocks.append(tuple(_choices(view.status, view.upstreams)))
        blocks.append(tuple(_troubles(view)))
    blocks.append(tuple(_checks(view)))
    blocks.append(tuple(_ends(view)))
    items: list[Item] = []
    for number, block in enumerate(each for each in blocks if each):
        if number:
            items.append(Item(f"separator-{number}", kind=Kind.SEPARATOR))
        items += block
    return tuple(items)


def is_overruled(view: View) -> bool:
    """Tell whether this machine was told to ask the daemon, and another program has it ask others."""
    system = None if view.status is None else view.status.system
    return system is not None and system.state == "overruled"


def left(left_s: float) -> str:
    """Say how long a pause lasts, rounded up, so that it seldom changes."""
    if left_s > 60:
        return f"{math.ceil(left_s / 60)} min"
    return f"{max(10, math.ceil(left_s / 10) * 10)} s"


def _open_for_s(status: Status) -> float | None:
    """Give for how long names still go out in plain so that somebody can sign in, None if they do not."""
    return None if status.portal is None else status.portal.left_s


def flat(items: tuple[Item, ...]) -> Iterator[Item]:
    """Yield every item, those below others after them."""
    for item in items:
        yield item
        yield from flat(item.items)


def _top(view: View) -> Iterator[Item]:
    """Say how things are, and what helps."""
    yield Item("status", headline(view))
    if view.error is not None:
        yield from _lines("error", str(view.error), view.error.hint)
    elif view.status is not None:
        system = view.status.system
        if view.look is Look.UNUSED and system is not None:
            yield from _lines("system", system.sentence, system.remedy)
        elif view.look is Look.SECURE:
            yield Item("dnssec", f"DNSSEC {'on' if view.status.dnssec == 'validate' else 'off'}")
        else:
            yield from _lines("sentence", view.status.sentence, view.status.remedy)
    if view.answer is not None:
        yield from _lines("answer", view.answer)


def _lines(key: str, *texts: str | None) -> Iterator[Item]:
    """Say each text, on as many lines as it needs."""
    for number, text in enumerate(texts):
        for count, line in enumerate(wrapped(sentence(text or ""))):
            yield Item(f"{key}-{number}-{count}", line)


def _choices(status: Status, upstreams: Upstreams | None) -> Iterator[Item]:
    may = status.may_change
    if status.pause is not None:
        yield Item("resume", f"Resume now ({left(status.pause.left_s)} left)", Resume(), is_enabled=may)
    elif (left_s := _open_for_s(status)) is not None:
        yield Item("resume", f"Let no more names out ({left(left_s)} left)", Resume(), is_enabled=may)
    elif status.is_strict:
        yield Item("pause", "Pause: not allowed by the configuration (strict)")
    else:
        choices = (Item(f"pause-{for_s}", words, PauseFor(for_s), is_enabled=may) for for_s, words in PAUSES)
        yield Item("pause", "Pause", items=tuple(choices), is_enabled=may)
    if upstreams is not None:
        yield Item("upstream", "Upstream", items=tuple(_radios(status, upstreams)))
    if not may:
        yield from _lines(
            "rights", "to change things you have to be in the group secdns: sudo usermod -aG secdns $USER"
        )
    yield Item("network", f"This network: {_network(status)}")


def _network(status: Status) -> str:
    """Say how secdns fares on the network that this machine is on."""
    if status.network:
        return clean(status.network, 60)
    match View(status).look:
        case Look.SECURE:
            return "secdns is used, strictly" if status.is_strict else "secdns is used"
        case Look.PAUSED:
            return "its own DNS is used, unencrypted"
        case Look.SIGN_IN:
            return "has a sign-in page"
        case Look.VPN:
            return "reached through a VPN"
        case Look.UNUSED:
            return "another program's DNS is used" if is_overruled(View(status)) else "its own DNS is used"
        case Look.BLOCKED if status.clock is not None:
            return "not known, the clock is wrong"
        case Look.BLOCKED:
            return "no upstream can be reached from it"
        case _:
            return "not known yet"


def _radios(status: Status, upstreams: Upstreams) -> Iterator[Item]:
    """Give the upstreams to choose from: those that are in use, then the other built-in ones."""

    def radio(key: str, label: str, name: str | None) -> Item:
        is_on = status.chosen == name
        return Item(key, label, Use(name), Kind.RADIO, is_on, is_enabled=status.may_change)

    yield radio("use", "In the order of the configuration", None)
    for info in upstreams.upstreams:
        yield radio(f"use-{info.name}", _upstream(info), info.name)
    others = tuple(radio(f"use-{name}", clean(name, MAX_NAME), name) for name in upstreams.others)
    if others:
        yield Item("others", "Others", items=others)


def _upstream(info: UpstreamInfo) -> str:
    """Give an upstream with its protocol, and with its latency or what is wrong with it."""
    facts = [clean(info.name, MAX_NAME), clean(info.protocol, MAX_NAME)]
    if info.health == "failing":
        facts.append("does not answer")
    elif info.health == "distrusted":
        facts.append("is not who it should be")
    elif info.p50_ms is not None:
        facts.append(f"{info.p50_ms:.0f} ms")
    return ", ".join(facts)


def _troubles(view: View) -> Iterator[Item]:
    if view.look is Look.SIGN_IN:
        may = view.status is not None and view.status.may_change
        yield Item("sign-in", "Open sign-in page…", SignIn(), is_enabled=may)
    problem = view.status and view.status.problem
    if view.status is not None and problem:
        yield Item(
            "problem",
            f"Last problem: {_subject(problem)}",
            items=tuple(_problem(problem, view.status.may_change)),
        )


MARKS: Final = {"pass": "✓", "fail": "✗", "skipped": "–"}


def _checks(view: View) -> Iterator[Item]:
    """Offer to check, and show what the last one found: what failed first, each with its cure."""
    label = "Checking…" if view.is_checking else "Check now"
    yield Item("check", label, CheckNow(), is_enabled=not view.is_checking)
    if view.checked is not None:
        checks = sorted(view.checked.checks, key=lambda check: check.result != "fail")
        failed = sum(check.result == "fail" for check in checks)
        found = f"{failed} of {len(checks)} failed" if failed else "nothing is wrong"
        lines = (line for check in checks for line in _check(check))
        yield Item("checked", f"Checked at {view.checked_at}: {found}", items=tuple(lines))


def _check(check: Check) -> Iterator[Item]:
    hint = None if check.hint is None else f"What to do: {check.hint}"
    mark = MARKS.get(check.result, "?")
    yield from _lines(f"check-{check.name}", f"{mark} {check.name}: {check.text}", hint)


def _ends(view: View) -> Iterator[Item]:
    """Give what ends this icon, and what begins or ends the protection of this machine."""
    yield Item("quit", "Quit this icon (protection stays as it is)", Quit())
    if view.error is None and view.is_elsewhere:
        yield Item("on", "Turn on: have this machine use secdns…", TurnOn())
    if view.error is not None or not view.is_elsewhere or is_overruled(view):
        yield Item("off", "Turn off and restore the old DNS settings…", TurnOff())


def _subject(problem: Problem) -> str:
    return clean(problem.name or sentence(problem.sentence), MAX_NAME)


def _problem(problem: Problem, may: bool) -> Iterator[Item]:
    yield from _lines("problem", problem.sentence, problem.remedy)
    if problem.can_allow and problem.name:
        yield Item(
            f"allow-{problem.name}",
            f"Allow {clean(problem.name, MAX_NAME)} for 1 hour",
            Allow(problem.name, ALLOW_FOR_S),
            is_enabled=may,
        )
