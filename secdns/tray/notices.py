"""Which changes a person is told of unasked, and how often: who is told too much reads nothing."""

from dataclasses import dataclass, field
from typing import Final

from secdns.tray.menu import WRONG_CLOCK, is_overruled
from secdns.tray.texts import clean, sentence
from secdns.tray.view import Look, View

QUIET_S: Final = 600.0  # between two of one kind
SETTLE_S: Final = 5.0  # a loss that is over sooner was a restart or a change of network

_LOST: Final = {Look.BLOCKED, Look.GONE}


@dataclass(frozen=True, slots=True)
class Notice:
    """What a person is told. ``kind`` is what the interval between two counts for."""

    kind: str
    title: str
    text: str = ""


@dataclass(slots=True)
class Notices:
    """Looks at each view and gives what is to be told; ``now`` are seconds of a clock that only goes on."""

    _was_secure: bool = False
    _lost_since: float | None = None
    _is_loss_told: bool = False
    _was_clock_wrong: bool = False
    _was_used: bool = False
    _taken_since: float | None = None
    _told_at: dict[str, float] = field(default_factory=dict)
    _problem: tuple[str | None, str] | None = None
    _is_begun: bool = False
    _last: Look = Look.CHECKING

    def look(self, view: View, now: float) -> list[Notice]:
        """Give what is to be told now, which is nothing most of the time.

        It has to be called again while a view stays the same, since a loss is told after some seconds.
        """
        wanted = [*self._loss(view, now), *self._taken(view, now), *self._sign_in(view), *self._refusal(view)]
        wanted += self._clock(view)
        self._last = view.look
        notices = []
        for notice in wanted:
            told_at = self._told_at.get(notice.kind)
            if told_at is None or now - told_at >= QUIET_S:
                self._told_at[notice.kind] = now
                self._is_loss_told |= notice.kind in ("lost", "taken")
                notices.append(notice)
        return notices

    def _loss(self, view: View, now: float) -> list[Notice]:
        """Tell that protection was lost, and, to who was told that, that it is back."""
        if view.status is not None and view.status.clock is not None:
            return []  # that is told by itself
        if view.look in _LOST:
            if not self._was_secure:
                return []
            if self._lost_since is None:
                self._lost_since = now
            if now - self._lost_since < SETTLE_S:
                return []
            self._was_secure = False
            return [_lost(view)]
        self._lost_since = None
        if view.look is Look.SECURE:
            self._was_secure = True
            if self._is_loss_told:
                self._is_loss_told = False
                return [Notice("regained", "DNS is protected again")]
        elif view.look is Look.PAUSED or (view.look is Look.UNUSED and not is_overruled(view)):
            # somebody wanted that
            self._was_secure = self._is_loss_told = False
        return []

    def _taken(self, view: View, now: float) -> list[Notice]:
        """Tell that another program has this machine ask others, when that stays."""
        system = None if view.status is None or view.error is not None else view.status.system
        if system is None or not is_overruled(view):
            self._taken_since = None
            if system is not None and system.state in ("on", "off"):
                self._was_used = system.state == "on"
            return []
        if self._taken_since is None:
            self._taken_since = now
        if not self._was_used or now - self._taken_since < SETTLE_S:
            return []
        self._was_used = False
        return [Notice("taken", "Another program took over DNS", _text(system.sentence, system.remedy))]

    def _clock(self, view: View) -> list[Notice]:
        """Tell that the clock is wrong, also if it was so when we came: it often is after a start."""
        clock = None if view.status is None else view.status.clock
        is_news = clock is not None and not self._was_clock_wrong
        if view.status is not None:
            self._was_clock_wrong = clock is not None
        if clock is None or not is_news:
            return []
        title = WRONG_CLOCK if clock.is_certain else "The clock of this machine seems wrong"
        return [Notice("clock", title, _text(clock.sentence, clock.remedy))]

    def _sign_in(self, view: View) -> list[Notice]:
        if view.look is not Look.SIGN_IN or self._last is Look.SIGN_IN:
            return []
        return [Notice("sign-in", "This network wants you to sign in", "The icon has the page.")]

    def _refusal(self, view: View) -> list[Notice]:
        """Tell that a name was refused for its signatures; what was so before we looked is no news."""
        if view.status is None:
            return []
        problem = view.status.problem
        what = None if problem is None else (problem.name, problem.sentence)  # once more is no news
        is_news = self._is_begun and what != self._problem
        self._is_begun = True
        self._problem = what
        if problem is None or not is_news or not problem.can_allow:
            return []
        title = f"{clean(problem.name, 60)} was refused" if problem.name else "A name was refused"
        return [Notice("refused", title, clean(sentence(problem.sentence)))]


def _lost(view: View) -> Notice:
    if view.error is not None:
        words = [str(view.error), view.error.hint]
    elif view.status is not None:
        words = [view.status.sentence, view.status.remedy]
    else:
        words = []
    return Notice("lost", "DNS does not work as it should", _text(*words))


def _text(*words: str | None) -> str:
    return ". ".join(sentence(clean(each)) for each in words if each)
