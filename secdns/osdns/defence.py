"""Set it again when another program has changed it, and stand aside for one that keeps doing so.

Started by systemd when a file changes that has to do with DNS, and by nobody else: see
``secdns-overruled.path``. What is decided is in ``contest``.
"""

from dataclasses import dataclass, replace
from typing import Final

from secdns.errors import SettingsError
from secdns.osdns import BACKENDS, contest, journal, switch, wish
from secdns.osdns.contest import Move
from secdns.osdns.detect import RESOLV_CONF
from secdns.osdns.journal import Journal
from secdns.osdns.machine import Machine, Snapshot
from secdns.osdns.plan import DNSSettings, Write
from secdns.osdns.switch import Prove

# Before another look: whoever writes a file may not be done yet, and systemd-resolved or NetworkManager
# that is not there may just be starting again.
QUIET_S: Final = 0.4
RESTARTS_S: Final = (0.6, 1.0, 2.0)
STEP_S: Final = 0.2


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was done, and in ``words`` because of what; ``count`` says how often within ten minutes."""

    move: Move
    words: str = ""
    count: int = 0


def is_overruled(machine: Machine, settings: DNSSettings, platform: str) -> bool:
    """Tell whether secdns is to be on and is not, for longer than others take to write or to restart."""
    is_first = True
    for pause_s in (QUIET_S, *RESTARTS_S, None):
        record = _record(machine)
        if record is None or not wish.is_there(machine):
            return False
        found = _look(machine, record, settings, platform)
        if found.reason is None:
            return False
        if pause_s is None or not (is_first or found.is_other):
            return True
        machine.pause(pause_s)
        is_first = False
    return False  # never: the last one is None


def defend(
    machine: Machine,
    settings: DNSSettings,
    prove: Prove,
    *,
    platform: str,
    now: int,
    has_failed: bool = False,
) -> Outcome:
    """Set it again if it is not in force, or stand aside.

    ``now`` is in seconds since 1970. ``has_failed``: that was tried just before, so there is no journal.

    Raises:
        NotPermittedError: this process is not root.
        NotInForceError: it was done, names did not go through secdns, and it was taken back.
        SettingsError: it cannot be done, the reason and the remedy are given.
    """
    with switch.alone(machine):
        memory, record = contest.load(machine), _record(machine)
        if not wish.is_there(machine) or memory.aside or (record is None and not has_failed):
            return Outcome(Move.LEAVE)
        found = _look(machine, record, settings, platform)
        move = contest.decide(found.reason is not None, memory.times, now)
        if move is Move.LEAVE:
            return Outcome(move)
        words = contest.culprit(machine, settings.hosts, found.written, found.reason or "")
        if move is Move.AGAIN:
            count = contest.note_again(machine, now)
            switch.put_in_force(machine, settings, prove, platform=platform, now=now)
            return Outcome(move, words, count)
        _stand_aside(machine, record, settings)
        contest.note(machine, replace(memory, aside=words))
        return Outcome(move, words, len(contest.recent(memory.times, now)))


@dataclass(frozen=True, slots=True)
class _Found:
    """What is not as it was left, None if nothing; whether others control DNS than did; our files."""

    reason: str | None
    is_other: bool
    written: tuple[Write, ...] = ()


def _record(machine: Machine) -> Journal | None:
    return next((record for _, record in journal.found(machine)), None)


def _look(machine: Machine, record: Journal | None, settings: DNSSettings, platform: str) -> _Found:
    try:
        wanted = switch.prospect(machine, settings, platform, record)
    except SettingsError as error:
        return _Found(str(error).removesuffix(": nothing was changed"), True)
    written = tuple(step for plan in wanted.plans for step in plan.steps if isinstance(step, Write))
    if record is None:
        return _Found("it could not be set again", False, written)
    is_other = wanted.detection.backends != record.backends
    return _Found(switch.why_not_in_force(machine, record, wanted), is_other, written)


def _stand_aside(machine: Machine, record: Journal | None, settings: DNSSettings) -> None:
    """Take back what is ours, and leave the other program's resolv.conf as that has it.

    A manager that is told that we are gone writes the file anew: then what was there is put back.
    """
    told = {BACKENDS[name].title for name in record.backends} if record is not None and record.undo else set()
    theirs = {
        path: machine.snapshot(path)
        for path in dict.fromkeys((RESOLV_CONF, machine.follow(RESOLV_CONF) or RESOLV_CONF))
        if told
        and not switch.leads_to(machine.text(path), set(settings.hosts))
        and contest.author(machine, path) not in told
    }
    switch.undo_all(machine)
    for path, before in theirs.items():
        if before.kind in ("file", "link"):
            _keep(machine, path, before)


def _keep(machine: Machine, path: str, before: Snapshot) -> None:
    """Put ``path`` back if it changes within the time that a manager takes."""
    waited_s = 0.0
    while machine.snapshot(path).says_same(before):
        if waited_s >= switch.WATCH_S:
            return
        machine.pause(STEP_S)
        waited_s += STEP_S
    machine.put(path, before)
