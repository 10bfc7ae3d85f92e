"""Another program changes DNS, too: how often that is put up with, what is remembered, and who it was.

What is remembered lies in /run, beside the lock: the next start of the machine is a new beginning.
"""

import json
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import PurePosixPath
from typing import Final

from secdns.osdns import journal
from secdns.osdns.detect import RESOLV_CONF, STUBS, link_owner
from secdns.osdns.machine import Machine, Snapshot
from secdns.osdns.plan import Write, read_resolv_conf

# A DHCP client writes with every lease, a VPN when it comes up and goes: once or twice. Whoever does it
# a fourth time within ten minutes looks after the file as we do, and two that do so leave nobody with DNS.
TIMES: Final = 3
WINDOW_S: Final = 600

WHO_CHARACTERS: Final = 40
REMEDY: Final = (
    "let it leave DNS alone, then: sudo secdns system on; or be content with it: sudo secdns system off"
)
_SOMEBODY: Final = "another program"
_HEADER: Final = re.compile(
    r"[#;].*?(?:generated|managed|created|written) by (?:man:)?(?P<who>[^,;!\n]+)", re.I
)


class Move(Enum):
    """What to do about settings that are not as secdns left them."""

    LEAVE = "nothing is wrong"
    AGAIN = "set it again"
    ASIDE = "stand aside"


@dataclass(frozen=True, slots=True)
class Memory:
    """When it was set again, in seconds since 1970, and, while secdns stands aside, why ("" if not)."""

    times: tuple[int, ...] = ()
    aside: str = ""


def decide(is_wrong: bool, times: Sequence[int], now: int) -> Move:
    """Say what to do. Pure; ``times`` are when it was set again, of which those long ago do not count."""
    if not is_wrong:
        return Move.LEAVE
    return Move.AGAIN if len(recent(times, now)) < TIMES else Move.ASIDE


def recent(times: Sequence[int], now: int) -> tuple[int, ...]:
    """Leave out what is longer ago than ``WINDOW_S``, or in the future: the clock was set back."""
    return tuple(at for at in times if 0 <= now - at < WINDOW_S)


def in_words(why: str) -> str:
    """Say why secdns stands aside; ``why`` is what ``culprit`` gave."""
    return f"{why}, each time secdns was set again; it controls DNS now, and secdns stands aside"


# What is remembered


def place() -> str:
    """Name the file that keeps it."""
    return str(PurePosixPath(journal.place(volatile=True)).with_name("contest.json"))


def load(machine: Machine) -> Memory:
    """Give what is remembered; a file that cannot be read is none."""
    try:
        found = json.loads(machine.text(place()) or "")
        return Memory(tuple(int(at) for at in found["times"]), str(found["aside"]))
    except (KeyError, OSError, TypeError, ValueError):
        return Memory()


def note(machine: Machine, memory: Memory) -> None:
    """Remember it, for everybody to read.

    Raises:
        OSError: it cannot be written.
        SettingsError: its directory is not root's alone.
    """
    directory = journal.make_home(machine, place())
    octets = (json.dumps({"times": memory.times, "aside": memory.aside}) + "\n").encode()
    made = Snapshot("file", octets=octets, mode=0o644, owner=machine.snapshot(directory).owner)
    machine.put(place(), made)


def note_again(machine: Machine, now: int) -> int:
    """Remember that it is being set again, and give how often it was, this time included.

    Raises:
        OSError: it cannot be written.
        SettingsError: its directory is not root's alone.
    """
    memory = load(machine)
    times = (*recent(memory.times, now), now)
    note(machine, replace(memory, times=times))
    return len(times)


def forget(machine: Machine) -> None:
    """Begin anew: a person has decided.

    Raises:
        OSError: it cannot be removed.
    """
    if machine.snapshot(place()).kind != "absent":
        machine.remove(place())


# Who it was


def culprit(machine: Machine, ours: Collection[str], written: Collection[Write], reason: str) -> str:
    """Say who did what to the settings, as far as files tell; ``reason`` if they do not.

    ``ours`` are the addresses that were set, ``written`` our files.
    """
    named = {server.host for server in read_resolv_conf(machine.text(RESOLV_CONF) or "").servers}
    if not named <= {*ours, *STUBS}:
        return f"{author(machine, RESOLV_CONF)} rewrote {RESOLV_CONF}"
    for step in written:
        there = machine.snapshot(step.path)
        if there.kind == "absent":
            return f"{_SOMEBODY} removed {step.path}"
        if there.octets != step.text.encode():
            return f"{author(machine, step.path)} rewrote {step.path}"
    return reason


def author(machine: Machine, path: str) -> str:
    """Give who wrote a file, as it says itself or as it is a link of; "another program" if nothing tells."""
    text = machine.text(path) or ""
    if found := _HEADER.search(text):
        return _name_in(found["who"]) or _SOMEBODY
    target = machine.link(path)
    if target is None:
        return _SOMEBODY
    return link_owner(target) or f"the program that writes {target}"


def _name_in(words: str) -> str:
    """Take the name out of "/sbin/dhclient-script", "systemd-resolved(8). Do not" or "dhcpcd from eth0"."""
    name = re.split(r"\(\d\)|\. |\.?$| (?:from|on|for|at|--) ", words.strip(), maxsplit=1)[0].strip()
    name = PurePosixPath(name).name if name.startswith("/") else name
    return name if name.isprintable() and len(name) <= WHO_CHARACTERS else ""
