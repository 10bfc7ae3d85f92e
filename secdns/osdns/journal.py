"""What was there before: written and synced before the first change, enough to undo all of it.

One JSON object in a file that only root can have written, in a directory of root's own: what it
says is done with root's rights, so a directory of the daemon's would not do. Where a reboot undoes
the change anyway the journal lies where a reboot removes it, too.

It is replaced in one step, so a half-written one is a disk's fault and not ours, and is refused,
like one from another machine or from a later version. A refused journal is never removed.
"""

import base64
import binascii
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from secdns import paths
from secdns.errors import SettingsError
from secdns.osdns.machine import Machine, Snapshot, beside
from secdns.osdns.plan import DNSSettings, Run, Server

VERSION = 1
KIND = "secdns-system-dns"
_KINDS = frozenset({"absent", "file", "link"})


@dataclass(frozen=True, slots=True)
class Saved:
    """One path and what was there. ``watched``: another program writes it (``Plan.watched``)."""

    path: str
    before: Snapshot
    watched: bool = False


@dataclass(frozen=True, slots=True)
class Journal:
    """Everything that undoing needs.

    ``directories`` did not exist before, the topmost first. ``undo`` runs when the files are back.
    ``backends`` and ``servers`` are for people: how it was done, and which servers were set.
    ``original`` are the servers and the search list of the network at that time, for whoever has
    to reach its own names. ``written_at`` is in seconds since 1970.
    """

    backends: tuple[str, ...]
    servers: tuple[Server, ...]
    files: tuple[Saved, ...]
    directories: tuple[str, ...]
    undo: tuple[Run, ...]
    original: DNSSettings
    machine_id: str
    written_at: int


def machine_id(machine: Machine) -> str:
    """Give what tells this machine from a copy of its disk (machine-id(5)); empty if nothing does."""
    return (machine.text("/etc/machine-id") or "").strip()


def place(volatile: bool) -> str:
    """Name the journal's file."""
    return str(paths.settings_journal(volatile=volatile))


def write(machine: Machine, journal: Journal, *, volatile: bool) -> None:
    """Have the journal on the disk when this returns; nothing may be changed before.

    Raises:
        OSError: it cannot be written.
        SettingsError: its directory is not root's alone.
    """
    path = place(volatile)
    directory = make_home(machine, path)
    own = machine.snapshot(directory).owner
    machine.put(path, Snapshot("file", octets=_encode(journal), mode=0o644, owner=own))


def make_home(machine: Machine, path: str) -> str:
    """Make the directory that ``path`` is in, for root alone to write, and give it."""
    directory = str(PurePosixPath(path).parent)
    for missing in machine.missing_directories(path):
        machine.make_directory(missing, 0o755)
        machine.sync(str(PurePosixPath(missing).parent))
    _insist_on_privacy(machine, directory)
    return directory


def remove(machine: Machine, path: str) -> None:
    """Forget: everything is as it was."""
    machine.remove(beside(path))
    machine.remove(path)
    machine.sync(str(PurePosixPath(path).parent))


def found(machine: Machine) -> Iterator[tuple[str, Journal]]:
    """Give every journal that is there, with its file; there is one at most, unless a disk was moved.

    Raises:
        SettingsError: one cannot be used; the message names the file, the hint the remedy.
    """
    for path in dict.fromkeys((place(True), place(False))):
        if machine.snapshot(path).kind != "absent":
            yield path, read(machine, path)


def read(machine: Machine, path: str) -> Journal:
    """Read a journal.

    Raises:
        SettingsError: it is damaged, of another machine, of a later version, or others can write it.
    """
    _insist_on_privacy(machine, str(PurePosixPath(path).parent))
    _insist_on_privacy(machine, path)
    snapshot = machine.snapshot(path)
    if snapshot.kind != "file":
        raise _unusable(path, "is not a file")
    document = _parse(path, snapshot.octets)
    version = document.get("version")
    if not isinstance(version, int) or version > VERSION:
        raise SettingsError(
            f"{path} is of version {version!r}, this secdns knows {VERSION}: nothing was changed",
            hint="run `secdns system off` of the newer version that wrote it",
        )
    try:
        journal = _decode(document)
    except (KeyError, TypeError, ValueError, binascii.Error) as error:
        raise _unusable(path, "does not say what a journal says") from error
    here = machine_id(machine)
    if journal.machine_id != here:
        raise SettingsError(
            f"{path} is of another machine ({journal.machine_id or 'without machine-id'}, "
            f"this one is {here or 'without machine-id'}): nothing was changed",
            hint=f"see what {_place_to_look(journal)} says, set it by hand if it names 127.0.0.1, "
            f"then remove {path}",
        )
    return journal


def _insist_on_privacy(machine: Machine, path: str) -> None:
    if not machine.is_private(path):
        raise SettingsError(
            f"{path} can be written by others than root, what it says is not done: nothing was changed",
            hint=f"look at it; if it is as root left it: sudo chown root {path}; sudo chmod go-w {path}",
        )


def _place_to_look(journal: Journal) -> str:
    return ", ".join(saved.path for saved in journal.files) or "/etc/resolv.conf"


def _unusable(path: str, why: str) -> SettingsError:
    return SettingsError(
        f"{path} {why}: nothing was changed",
        hint=f"see what it and /etc/resolv.conf say, set DNS by hand, then remove {path}",
    )


def _encode(journal: Journal) -> bytes:
    content = {
        "machine_id": journal.machine_id,
        "written_at": journal.written_at,
        "backends": list(journal.backends),
        "servers": [[server.host, server.port] for server in journal.servers],
        "original": {
            "servers": [[server.host, server.port] for server in journal.original.servers],
            "search": list(journal.original.search),
        },
        "directories": list(journal.directories),
        "files": [_encode_saved(saved) for saved in journal.files],
        "undo": [
            {
                "argv": list(run.argv),
                "stdin": run.stdin,
                "excuse": run.excuse,
                "required": run.required,
            }
            for run in journal.undo
        ],
    }
    document = {"kind": KIND, "version": VERSION, "sha256": _digest(content), "content": content}
    return (json.dumps(document, indent=1) + "\n").encode()


def _encode_saved(saved: Saved) -> dict[str, object]:
    before = saved.before
    return {
        "path": saved.path,
        "watched": saved.watched,
        "kind": before.kind,
        "target": before.target,
        "octets": base64.b64encode(before.octets).decode(),
        "mode": before.mode,
        "owner": list(before.owner),
        "mtime_ns": before.mtime_ns,
        "xattrs": {name: base64.b64encode(value).decode() for name, value in before.xattrs},
    }


def _digest(content: object) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _parse(path: str, octets: bytes) -> Mapping[str, object]:
    try:
        document = json.loads(octets)
    except (ValueError, RecursionError) as error:
        raise _unusable(path, "is damaged or half-written") from error
    if not isinstance(document, dict) or document.get("kind") != KIND:
        raise _unusable(path, "is not a journal of secdns")
    if document.get("version") == VERSION and document.get("sha256") != _digest(document.get("content")):
        raise _unusable(path, "is damaged: its checksum does not fit")
    return document


def _decode(document: Mapping[str, object]) -> Journal:
    content = _mapping(document["content"])
    original = _mapping(content["original"])
    return Journal(
        backends=_texts(content["backends"]),
        servers=_servers(content["servers"]),
        files=tuple(_decode_saved(_mapping(each)) for each in _list(content["files"])),
        directories=_texts(content["directories"]),
        undo=tuple(_decode_run(_mapping(each)) for each in _list(content["undo"])),
        original=DNSSettings(_servers(original["servers"]), _texts(original["search"])),
        machine_id=_text(content["machine_id"]),
        written_at=_number(content["written_at"]),
    )


def _decode_saved(entry: Mapping[str, object]) -> Saved:
    kind = _text(entry["kind"])
    if kind not in _KINDS:
        raise ValueError(kind)
    uid, gid = (_number(each) for each in _list(entry["owner"]))
    attributes = _mapping(entry["xattrs"])
    before = Snapshot(
        kind,
        target=_text(entry["target"]),
        octets=base64.b64decode(_text(entry["octets"]), validate=True),
        mode=_number(entry["mode"]),
        owner=(uid, gid),
        mtime_ns=_number(entry["mtime_ns"]),
        xattrs=tuple((name, base64.b64decode(_text(value))) for name, value in attributes.items()),
    )
    return Saved(_text(entry["path"]), before, entry["watched"] is True)


def _decode_run(entry: Mapping[str, object]) -> Run:
    return Run(
        _texts(entry["argv"]),
        _text(entry["stdin"]),
        excuse=_text(entry["excuse"]),
        required=entry["required"] is True,
    )


def _servers(value: object) -> tuple[Server, ...]:
    pairs = [tuple(_list(each)) for each in _list(value)]
    return tuple(Server(_text(host), _number(port)) for host, port in pairs)


def _mapping(value: object) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise TypeError(value)
    return value


def _list(value: object) -> Sequence[object]:
    if not isinstance(value, list):
        raise TypeError(value)
    return value


def _texts(value: object) -> tuple[str, ...]:
    return tuple(_text(each) for each in _list(value))


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(value)
    return value


def _number(value: object) -> int:
    if not isinstance(value, int):
        raise TypeError(value)
    return value
