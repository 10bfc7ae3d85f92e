"""Tell who controls DNS on this machine, in words and for programs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from secdns.errors import NotInForceError, SettingsError
from secdns.osdns import BACKENDS, contest, journal, switch, wish
from secdns.osdns.detect import RESOLV_CONF, detect
from secdns.osdns.journal import Journal
from secdns.osdns.machine import Machine
from secdns.osdns.plan import DNSSettings, Server, read_resolv_conf

ON = "on"  # set, in force, and secdns answers
SILENT = "silent"  # set and in force, but secdns does not answer: names do not resolve
OVERRULED = "overruled"  # set, and changed by somebody else since, or only half set
ASIDE = "aside"  # wanted, but another program has set its own again and again: it controls DNS now
OFF = "off"


@dataclass(frozen=True, slots=True)
class Status:
    """``words`` is one sentence, ``remedy`` what helps if something is wrong, else empty.

    ``controllers`` are who has to be told, by name. ``named`` is whom resolv.conf names right now,
    ``network`` what the network itself wants. ``journal`` is its file, None if nothing was changed, and
    ``since_s`` when it was written, in seconds since 1970. ``wanted``: the next start of the service
    turns it on.
    """

    state: str
    words: str
    remedy: str
    controllers: tuple[str, ...]
    named: tuple[str, ...]
    network: DNSSettings
    journal: str | None
    since_s: int | None
    trace: tuple[str, ...]
    wanted: bool = False


def look(machine: Machine, platform: str, ask: Callable[[Server], object]) -> Status:
    """Look around; ``ask`` raises NotInForceError if secdns does not answer at a server.

    Raises:
        SettingsError: there is a journal that cannot be used.
    """
    earlier = next(iter(journal.found(machine)), None)
    detection = detect(machine, platform)
    titles = tuple(BACKENDS[name].title for name in detection.backends)
    record = earlier[1] if earlier else None
    if record is None:
        state, words, remedy = OFF, _off_in_words(titles, detection.problem), detection.remedy
        if aside := contest.load(machine).aside:
            state, words, remedy = ASIDE, f"aside: {contest.in_words(aside)}", contest.REMEDY
        network = switch.merged(BACKENDS[name].current(machine) for name in detection.backends)
    else:
        state, words, remedy = _state(machine, record, platform, ask)
        network = record.original
    return Status(
        state=state,
        words=words,
        remedy=remedy,
        controllers=titles,
        named=tuple(server.host for server in read_resolv_conf(machine.text(RESOLV_CONF) or "").servers),
        network=network,
        journal=earlier[0] if earlier else None,
        since_s=record.written_at if record else None,
        trace=detection.trace,
        wanted=wish.is_there(machine),
    )


def _off_in_words(titles: Sequence[str], problem: str) -> str:
    if problem:
        return f"off: {problem}"
    return f"off: names are looked up as {' and '.join(titles)} has it, without secdns"


def _state(
    machine: Machine, record: Journal, platform: str, ask: Callable[[Server], object]
) -> tuple[str, str, str]:
    try:
        wanted = switch.prospect(machine, DNSSettings(record.servers), platform, record)
        reason = switch.why_not_in_force(machine, record, wanted)
    except SettingsError as error:
        reason = str(error).removesuffix(": nothing was changed")
    if reason is not None:
        return (
            OVERRULED,
            f"overruled: {reason}",
            "secdns system on puts it in force again, off puts the old settings back",
        )
    titles = " and ".join(BACKENDS[name].title for name in record.backends)
    for server in record.servers:
        try:
            ask(server)
        except NotInForceError as error:
            remedy = "start secdns, or go without it: sudo secdns system off"
            return SILENT, f"silent: names are sent to secdns (by {titles}), but {error}", remedy
    return ON, f"on: names are looked up through secdns (by {titles})", ""
