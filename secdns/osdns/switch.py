"""Turn secdns on as the system's resolver, and off again.

On: save, sync, change step by step, check, prove; what fails on the way is taken back. Off: put
back what the journal says, whatever state things are in. A process that is killed at any point of
either leaves a journal from which off puts everything back; it may be run as often as one likes.
"""

import contextlib
import errno
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from secdns.errors import NotInForceError, NotPermittedError, SettingsError
from secdns.osdns import BACKENDS, contest, journal, wish
from secdns.osdns.detect import Detection, detect
from secdns.osdns.journal import Journal, Saved
from secdns.osdns.machine import Machine, Snapshot, beside, meant_by
from secdns.osdns.plan import Backend, DNSSettings, Plan, Run, Write, is_ours, read_resolv_conf

WATCH_S = 2.0  # how long another program may take to write its file after it was told
WATCH_STEP_S = 0.05
# For another of us to end: a proof that fails takes 15 s, and what restores must not be turned away.
LOCK_S = 40.0
LOCK_STEP_S = 0.1

Prove = Callable[[], str | None]
"""Prove that names go through secdns; gives the reason if they do not."""


@dataclass(frozen=True, slots=True)
class Prospect:
    """What turning on would do: who was found, what each is told, and what the network wants now."""

    detection: Detection
    backends: tuple[Backend, ...]
    plans: tuple[Plan, ...]
    settings: DNSSettings
    original: DNSSettings

    @property
    def volatile(self) -> bool:
        """Tell whether a reboot undoes it."""
        return all(backend.volatile for backend in self.backends)

    def words(self) -> list[str]:
        """Say each step."""
        return [str(step) for plan in self.plans for step in plan.steps]


def prospect(
    machine: Machine, settings: DNSSettings, platform: str, earlier: Journal | None = None
) -> Prospect:
    """Look what would be done. Changes nothing.

    ``earlier`` is the journal of what is in force already: it knows the network's own settings.

    Raises:
        SettingsError: it cannot be done here.
    """
    detection = detect(machine, platform)
    if detection.problem:
        raise SettingsError(f"{detection.problem}: nothing was changed", hint=detection.remedy)
    backends = tuple(BACKENDS[name] for name in detection.backends)
    if earlier is not None:
        original = earlier.original
    else:
        original = merged(backend.current(machine) for backend in backends)
    wanted = replace(settings, search=settings.search or original.search)
    plans = tuple(backend.plan(machine, wanted) for backend in backends)
    return Prospect(detection, backends, plans, settings, original)


def turn_on(
    machine: Machine,
    settings: DNSSettings,
    prove: Prove,
    *,
    platform: str,
    now: int,
    if_wanted: bool = False,
) -> bool:
    """Make ``settings`` the system's, and prove that they are; False if they were in force already.

    ``now`` is in seconds since 1970. With ``if_wanted`` nothing is done, and False given, if somebody
    has turned it off meanwhile or secdns stands aside for another program. If it fails everything is
    as it was before, unless the message says otherwise.

    Raises:
        NotPermittedError: this process is not root.
        NotInForceError: it was done, names did not go through secdns, and it was taken back.
        SettingsError: it cannot be done, the reason and the remedy are given.
    """
    with alone(machine):
        if if_wanted and (not wish.is_there(machine) or contest.load(machine).aside):
            return False
        if not if_wanted:
            contest.forget(machine)
        earlier = [each for _, each in journal.found(machine)]
        if len(earlier) == 1:
            again = prospect(machine, settings, platform, earlier[0])
            if why_not_in_force(machine, earlier[0], again) is None and _reason_from(machine, prove) is None:
                return False
        put_in_force(machine, settings, prove, platform=platform, now=now)
    return True


def put_in_force(machine: Machine, settings: DNSSettings, prove: Prove, *, platform: str, now: int) -> None:
    """Do it, from the beginning; for those who have the machine to themselves (``alone``).

    Raises:
        NotInForceError: it was done, names did not go through secdns, and it was taken back.
        SettingsError: it cannot be done, the reason and the remedy are given.
    """
    undo_all(machine)
    wanted = prospect(machine, settings, platform)
    try:
        _begin(machine, wanted, now)
        _carry_out(machine, wanted)
    except SettingsError as error:
        _take_back(machine, error)
        raise type(error)(f"{error}; everything is as it was before", hint=error.hint) from error
    except OSError as error:
        failure = explained(error)
        _take_back(machine, failure)
        raise SettingsError(f"{failure}; everything is as it was before", hint=failure.hint) from error
    except BaseException as error:  # interrupted
        _take_back(machine, SettingsError(f"interrupted ({type(error).__name__})"))
        raise
    _insist_on_proof(machine, prove)


def turn_off(machine: Machine, *, for_now: bool = False) -> list[str] | None:
    """Put back what was there before; None if nothing was changed in the first place.

    Gives what was left alone because somebody else has changed it since, one sentence each. It also
    ends the wish to be turned on at the service's next start, unless it is only ``for_now``.

    Raises:
        NotPermittedError: this process is not root.
        SettingsError: it cannot be put back (yet); the journal is kept.
    """
    with alone(machine):
        try:
            return undo_all(machine)
        finally:
            if not for_now:
                wish.forget(machine)
                contest.forget(machine)


def why_not_in_force(machine: Machine, earlier: Journal, wanted: Prospect) -> str | None:
    """Tell what is not as turning on left it, or would leave it now."""
    if earlier.backends != wanted.detection.backends:
        return "another program controls DNS than when it was turned on"
    if earlier.servers != wanted.settings.servers:
        return "secdns listens elsewhere than when it was turned on"
    for plan in wanted.plans:
        for step in plan.steps:
            if isinstance(step, Write) and machine.snapshot(step.path).octets != step.text.encode():
                return f"{step.path} is not as secdns wrote it"
        if (reason := plan.check(machine)) is not None:
            return reason
    return None


def explained(error: OSError) -> SettingsError:
    """Turn the kernel's word about a file into ours, with a remedy."""
    path = meant_by(str(error.filename2 or error.filename or "a file"))
    hint: str | None = None
    match error.errno:
        case errno.EACCES | errno.EPERM:
            hint = f"it may be immutable: lsattr -d {path}; or SELinux or a container forbids it"
        case errno.EROFS:
            hint = "its file system is read-only; remount it, or change DNS where that is configured"
        case errno.ENOSPC | errno.EDQUOT:
            hint = "the disk is full; `df` shows which"
        case errno.EBUSY:
            hint = "something is mounted on it: `findmnt` shows what"
    return SettingsError(f"cannot change {path}: {error.strerror or error}", hint=hint)


def merged(all_settings: Iterator[DNSSettings]) -> DNSSettings:
    """Put settings of several together, each server and domain once."""
    found = list(all_settings)
    servers = dict.fromkeys(server for each in found for server in each.servers)
    search = dict.fromkeys(name for each in found for name in each.search)
    return DNSSettings(tuple(servers), tuple(search))


# Steps


@contextlib.contextmanager
def alone(machine: Machine) -> Iterator[None]:
    """Keep others out, as far as they go through here; needs root."""
    if not machine.may_change():
        raise NotPermittedError("only root may change the system's DNS settings: nothing was changed")
    lock = str(PurePosixPath(journal.place(volatile=True)).with_name("lock"))
    try:
        journal.make_home(machine, lock)
        with _locked(machine, lock):
            yield
    except OSError as error:
        raise explained(error) from error


@contextlib.contextmanager
def _locked(machine: Machine, lock: str) -> Iterator[None]:
    """Hold the lock, and wait for it before."""
    for _ in range(int(LOCK_S / LOCK_STEP_S)):
        with machine.lock(lock) as mine:
            if mine:
                yield
                return
        machine.pause(LOCK_STEP_S)
    raise SettingsError(
        "another `secdns system` or `secdns rescue` is at work: nothing was changed",
        hint="wait for it to end, then look: secdns system status",
    )


def _begin(machine: Machine, wanted: Prospect, now: int) -> None:
    """Write the journal; when this returns it is on the disk."""
    paths = [step.path for plan in wanted.plans for step in plan.steps if isinstance(step, Write)]
    watched = [path for plan in wanted.plans for path in plan.watched if path not in paths]
    directories = [made for path in paths for made in machine.missing_directories(path)]
    record = Journal(
        backends=wanted.detection.backends,
        servers=wanted.settings.servers,
        files=(
            *(Saved(path, machine.snapshot(path)) for path in dict.fromkeys(paths)),
            *(Saved(path, machine.snapshot(path), watched=True) for path in watched),
        ),
        directories=tuple(dict.fromkeys(directories)),
        undo=tuple(run for plan in wanted.plans for run in plan.undo),
        original=wanted.original,
        machine_id=journal.machine_id(machine),
        written_at=now,
    )
    for saved in record.files:
        if saved.before.kind == "other":
            raise SettingsError(
                f"{saved.path} is neither a file nor a link: nothing was changed",
                hint=f"move it away, then try again: sudo mv {saved.path} {saved.path}.old",
            )
    journal.write(machine, record, volatile=wanted.volatile)


def _carry_out(machine: Machine, wanted: Prospect) -> None:
    for plan in wanted.plans:
        for step in plan.steps:
            if isinstance(step, Write):
                _write(machine, step)
            else:
                _run(machine, step)
    for plan in wanted.plans:
        reason = _patiently(machine, plan)
        if reason is not None:
            raise NotInForceError(reason)


def _write(machine: Machine, step: Write) -> None:
    """Write a file of ours; everybody may read it, whatever the umask: resolved runs as nobody special."""
    for missing in machine.missing_directories(step.path):
        machine.make_directory(missing, 0o755)
    before = machine.snapshot(step.path)
    parent = machine.snapshot(str(PurePosixPath(step.path).parent))
    label = before.xattrs if before.kind == "file" else ()
    made = Snapshot("file", octets=step.text.encode(), mode=0o644, owner=parent.owner, xattrs=label)
    machine.put(step.path, made)


def _run(machine: Machine, step: Run) -> None:
    ran = machine.execute(step.argv, step.stdin)
    excused = bool(step.excuse) and step.excuse in ran.err
    if ran.code == 0 or excused or not step.required:
        return
    said = " ".join(ran.err.split()) or f"it ended with {ran.code}"
    raise SettingsError(f"`{' '.join(step.argv)}` failed: {said}")


def _patiently(machine: Machine, plan: Plan) -> str | None:
    """Check until all is well or time is up: other programs answer before they have written."""
    reason = plan.check(machine)
    for _ in range(int(WATCH_S / WATCH_STEP_S)):
        if reason is None:
            break
        machine.pause(WATCH_STEP_S)
        reason = plan.check(machine)
    return reason


def _insist_on_proof(machine: Machine, prove: Prove) -> None:
    reason = _reason_from(machine, prove)
    if reason is not None:
        failure = NotInForceError(f"names do not go through secdns: {reason}")
        _take_back(machine, failure)
        raise NotInForceError(f"{failure}; everything is as it was before")


def _reason_from(machine: Machine, prove: Prove) -> str | None:
    """Let it be proven; whatever comes in between takes everything back."""
    try:
        return prove()
    except BaseException as error:
        _take_back(machine, SettingsError(f"interrupted ({type(error).__name__})"))
        raise


def _take_back(machine: Machine, cause: SettingsError) -> None:
    """Undo after a failure; if that fails too, say both."""
    try:
        undo_all(machine)
    except (OSError, SettingsError) as error:
        raise SettingsError(
            f"{cause}, and taking it back failed: {error}", hint="once that is cured: sudo secdns rescue"
        ) from error


def undo_all(machine: Machine) -> list[str] | None:
    """Put back what is in the journal; see ``turn_off``, which does it for those who are not ``alone``."""
    found = list(journal.found(machine))
    if not found:
        return None
    left: list[str] = []
    for path, record in found:
        left += _undo(machine, record)
        journal.remove(machine, path)
    return left


def _undo(machine: Machine, record: Journal) -> list[str]:
    """Put back what the journal says: files, then directories, then whoever has to be told.

    What fails keeps nothing else from being put back.
    """
    left: list[str] = []
    failures: list[SettingsError] = []
    for saved in record.files:
        if not saved.watched:
            with _collecting(failures):
                left += _put_back(machine, saved)
    for directory in reversed(record.directories):
        with _collecting(failures):
            machine.remove_directory(directory)
    whole = not failures
    for run in record.undo:
        with _collecting(failures):
            _run_back(machine, run, whole=whole)
    for saved in record.files:
        if saved.watched:
            with _collecting(failures):
                _settle(machine, saved, {server.host for server in record.servers})
    if failures:
        raise SettingsError("; ".join(map(str, failures)), hint=failures[0].hint)
    return left


@contextlib.contextmanager
def _collecting(failures: list[SettingsError]) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        failures.append(explained(error))
    except SettingsError as error:
        failures.append(error)


def _put_back(machine: Machine, saved: Saved) -> list[str]:
    """Put one file back if what is there is ours; else say that it is not."""
    machine.remove(beside(saved.path))
    there = machine.snapshot(saved.path)
    if there.says_same(saved.before):
        return []
    if there.kind == "file" and is_ours(there.octets.decode("utf-8", "replace")):
        machine.put(saved.path, saved.before)
        return []
    return [f"{saved.path} was changed by somebody else since, and was left alone"]


def _run_back(machine: Machine, run: Run, *, whole: bool) -> None:
    try:
        _run(machine, run)
    except SettingsError as error:
        start = "the files are as they were before, but " if whole else ""
        raise SettingsError(
            f"{start}{error}",
            hint=f"when it can be run: sudo {' '.join(run.argv)}; then: sudo secdns system off",
        ) from error


def _settle(machine: Machine, saved: Saved, hosts: set[str]) -> None:
    """Write another program's file for it, if it is gone and its file still leads to us."""
    for _ in range(int(WATCH_S / WATCH_STEP_S)):
        if not leads_to(machine.text(saved.path), hosts):
            return
        if leads_to(saved.before.octets.decode("utf-8", "replace"), hosts):
            return  # it did before, too
        machine.pause(WATCH_STEP_S)
    machine.put(saved.path, saved.before)


def leads_to(text: str | None, hosts: set[str]) -> bool:
    """Tell whether a resolv.conf with this text names ``hosts`` and nobody else."""
    named = {server.host for server in read_resolv_conf(text or "").servers}
    return bool(named) and named <= hosts
