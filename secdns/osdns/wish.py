"""Remember that a person has turned secdns on, for as long as nobody has turned it off.

What is in force is in the journal. This outlives it: when the service stops, and when the machine
does, the settings go back, and when the service starts they are set again. No start of a service
alone points a machine at secdns.
"""

from pathlib import PurePosixPath

from secdns import paths
from secdns.osdns import journal
from secdns.osdns.machine import Machine, Snapshot

UNIT = "secdns.service"
_TEXT = b"`secdns system on` was said, and `off` not since: the service sets it again when it starts.\n"


def place() -> str:
    """Name the file whose being there is the wish; ``secdns-system.service`` looks for it, too."""
    return str(paths.settings_journal(volatile=False).with_name("wanted"))


def is_there(machine: Machine) -> bool:
    """Tell whether secdns is to be turned on at the next start of the service."""
    return machine.snapshot(place()).kind != "absent"


def note(machine: Machine) -> None:
    """Have it on the disk when this returns.

    Raises:
        OSError: it cannot be written.
        SettingsError: its directory is not root's alone.
    """
    if not is_there(machine):
        directory = journal.make_home(machine, place())
        own = machine.snapshot(directory).owner
        machine.put(place(), Snapshot("file", octets=_TEXT, mode=0o644, owner=own))


def forget(machine: Machine) -> None:
    """Have it gone.

    Raises:
        OSError: it cannot be removed.
    """
    if is_there(machine):
        machine.remove(place())
        directory = str(PurePosixPath(place()).parent)
        machine.sync(directory)
        machine.remove_directory(directory)  # unless there is more in it


def service_comes_back(machine: Machine, result: str) -> bool:
    """Tell whether the service that has just ended starts again at once.

    ``result`` is systemd's SERVICE_RESULT, which what runs after a service sees (systemd.exec(5)). Any
    but "success" is followed by a restart, or at last by ``secdns-restore.service``. A clean end may be
    the first half of a restart: only one that somebody wanted to be the last has a job that says so.
    """
    if not result:
        return False
    if result != "success":
        return True
    jobs = machine.run("systemctl", "list-jobs", "--no-legend", "--plain", UNIT)
    return jobs is not None and "stop" not in jobs.split()
