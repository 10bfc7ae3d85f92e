"""Which changes a person is told of unasked, and how often: who is told too much reads nothing."""

from dataclasses import dataclass, field
from typing import Final

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
    _told_at: dict[str, float] = field(default_factory=dict)
    _problem: tuple[str | None, str] | None = None
    _is_begun: bool = False
    _last: Look = Look.CHECKING

    def look(self, view: View, now: float) -> list[Notice]:
        """Give what is to be told now, which is nothing most of the time.

        It has to be called again while a view stays the same, since a loss is told after some seconds.
        """
        wanted = [*self._loss(view, now), *self._sign_in(view), *self._refusal(view)]
        self._last = view.look
        notices = []
        for notice in wanted:
            told_at = self._told_at.get(notice.kind)
            if told_at is None or now - told_at >= QUIET_S:
                self._told_at[notice.kind] = now
                self._is_loss_told |= notice.kind == "lost"
                notices.append(notice)
        return notices

    def _loss(self, view: View, now: float) -> list[Notice]:
        """Tell that protection was lost, and, to who was told that, that it is back."""
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
        elif view.look is Look.PAUSED:  # somebody wanted that
            self._was_secure = self._is_loss_told = False
        return []

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
    text = ". ".join(sentence(clean(each)) for each in words if each)
    return Notice("lost", "DNS does not work as it should", text)
