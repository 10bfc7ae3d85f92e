"""The files and programs of one machine: the only door of this package to both.

Every path is the machine's own ("/etc/resolv.conf") and is looked up below ``root``, links
included, so that a directory can stand for a machine. What changes something is a small method of
its own that is done or not done when it ends; whoever wants to know what happens when one of them
fails, or is the last, overrides it.
"""

import contextlib
import errno
import os
import stat
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

FILE_OCTETS: Final = 1 << 20  # a resolv.conf has a few hundred; a link to /dev/zero must not fill memory
LINKS: Final = 40  # as the kernel (path_resolution(7))
COMMAND_S: Final = 30.0  # a restart of systemd-resolved takes 0.1 s
NOT_FOUND: Final = 127  # exit codes of a shell for a command that is not there, and of timeout(1)
TIMED_OUT: Final = 124

_SUFFIX: Final = ".secdns"

# A service manager, sudo and a rescue shell set different ones; what a root process runs must
# not depend on it.
PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True, slots=True)
class Ran:
    """How a command ended."""

    code: int
    out: str = ""
    err: str = ""


Runner = Callable[[Sequence[str], str], Ran]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What is at a path, in full: it can be made again from this alone.

    ``kind`` is "absent", "file", "link", or "other" for what cannot be made again (a directory,
    a device). ``mtime_ns`` takes no part in comparison.
    """

    kind: str
    target: str = ""
    octets: bytes = b""
    mode: int = 0
    owner: tuple[int, int] = (0, 0)
    mtime_ns: int = 0
    xattrs: tuple[tuple[str, bytes], ...] = ()

    def says_same(self, other: "Snapshot") -> bool:
        """Tell whether nothing but times differs."""
        return self.facts() == other.facts()

    def facts(self) -> tuple[object, ...]:
        """Give all of it but the time."""
        return (self.kind, self.target, self.octets, self.mode, self.owner, self.xattrs)


def run_program(argv: Sequence[str], stdin: str = "", timeout_s: float | None = None) -> Ran:
    """Run a command to its end, with a plain environment; never through a shell.

    After ``timeout_s`` (``COMMAND_S``) it is killed.
    """
    patience_s = COMMAND_S if timeout_s is None else timeout_s
    environment = {**os.environ, "PATH": PATH, "LC_ALL": "C"}
    try:
        done = subprocess.run(  # noqa: S603
            list(argv), input=stdin, env=environment, capture_output=True, text=True,
            errors="replace", timeout=patience_s, check=False,
        )  # fmt: skip
    except FileNotFoundError:
        return Ran(NOT_FOUND, err=f"{argv[0]}: not found")
    except OSError as error:
        return Ran(NOT_FOUND, err=f"{argv[0]}: {error.strerror}")
    except subprocess.TimeoutExpired:
        return Ran(TIMED_OUT, err=f"{argv[0]} did not end within {patience_s:g} s")
    return Ran(done.returncode, done.stdout, done.stderr)


class Machine:
    """One machine. Reads give None for what is not there; the rest raises OSError."""

    def __init__(self, root: Path | None = None, runner: Runner = run_program) -> None:
        self._root = root or Path(f"{os.environ.get('SYSTEMDRIVE', '')}/")  # Windows has one, others have not
        self._runner = runner

    # Looking

    def run(self, *argv: str) -> str | None:
        """Give what a command that changes nothing prints, or None if it fails or is not there."""
        ran = self._runner(argv, "")
        return ran.out if ran.code == 0 else None

    def text(self, path: str) -> str | None:
        """Give what a file says, links followed; None if there is no such file."""
        real = self.follow(path)
        if real is None:
            return None
        try:
            handle = os.open(self._at(real), os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
        except (FileNotFoundError, NotADirectoryError, PermissionError):
            return None
        try:
            if not stat.S_ISREG(os.fstat(handle).st_mode):  # a pipe would keep us waiting
                return None
            with os.fdopen(handle, "rb", closefd=False) as file:
                return file.read(FILE_OCTETS).decode("utf-8", "replace")
        finally:
            os.close(handle)

    def link(self, path: str) -> str | None:
        """Give what a symbolic link says, or None if it is none."""
        try:
            return os.readlink(self._at(path))
        except OSError:
            return None

    def follow(self, path: str) -> str | None:
        """Give the path without links in it; None if a link leads nowhere or in a circle."""
        done, todo, links = PurePosixPath("/"), list(PurePosixPath(path).parts[1:]), 0
        while todo:
            part = todo.pop(0)
            if part == "..":
                done = done.parent
                continue
            here = done / part
            try:
                target = PurePosixPath(os.readlink(self._below(str(here))))
            except OSError as error:
                if error.errno not in (errno.EINVAL, errno.ENOENT):
                    return None
                done = here
                continue
            links += 1
            if links > LINKS:
                return None
            if target.is_absolute():
                done, target = PurePosixPath("/"), PurePosixPath(*target.parts[1:])
            todo = [*target.parts, *todo]
        return str(done) if os.path.lexists(self._below(str(done))) else None

    def snapshot(self, path: str) -> Snapshot:
        """Give what is at ``path`` itself; a link is not followed."""
        at = self._at(path)
        try:
            status = at.lstat()
        except (FileNotFoundError, NotADirectoryError):
            return Snapshot("absent")
        owner = (status.st_uid, status.st_gid)
        if stat.S_ISLNK(status.st_mode):
            return Snapshot("link", target=os.readlink(at), owner=owner, mtime_ns=status.st_mtime_ns)
        mode = stat.S_IMODE(status.st_mode)
        if not stat.S_ISREG(status.st_mode) or status.st_size > FILE_OCTETS:
            return Snapshot("other", mode=mode, owner=owner)
        return Snapshot(
            "file",
            octets=at.read_bytes(),
            mode=mode,
            owner=owner,
            mtime_ns=status.st_mtime_ns,
            xattrs=_xattrs(at),
        )

    def mark(self, path: str) -> object:
        """Give a value that is another one when ``path`` leads elsewhere or its file was written since."""
        real = self.follow(path)
        try:
            status = None if real is None else self._below(real).lstat()
        except OSError:
            status = None
        if status is None:
            return real
        return real, status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns

    def is_immutable(self, path: str) -> bool:
        """Tell whether ``chattr +i`` was done to a file or directory (FS_IOC_GETFLAGS, ioctl_iflags(2))."""
        import fcntl

        try:
            handle = os.open(self._at(path), os.O_RDONLY | os.O_NOFOLLOW)
        except OSError:
            return False
        try:
            octets = fcntl.ioctl(handle, 0x80086601, bytes(8))
        except OSError:  # a file system without such flags
            return False
        finally:
            os.close(handle)
        return bool(octets[0] & 0x10)

    def is_mount_point(self, path: str) -> bool:
        """Tell whether something is mounted on exactly this path."""
        mounts = self.text("/proc/self/mountinfo") or ""
        return any(line.split()[4:5] == [path] for line in mounts.splitlines())

    def may_change(self) -> bool:
        """Tell whether this process has the rights to change the system's settings."""
        return not hasattr(os, "geteuid") or os.geteuid() == 0

    def pause(self, seconds: float) -> None:
        """Let other programs go on."""
        time.sleep(seconds)

    # Changing

    def execute(self, argv: Sequence[str], stdin: str = "") -> Ran:
        """Run a command that changes something."""
        return self._runner(argv, stdin)

    def create(self, path: str, octets: bytes) -> None:
        """Make a file that only its owner may read, and have it on the disk when this returns."""
        handle = os.open(self._at(path), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(octets)
            file.flush()
            os.fsync(file.fileno())

    def symlink(self, path: str, target: str) -> None:
        """Make a symbolic link."""
        self._at(path).symlink_to(target)

    def dress(self, path: str, like: Snapshot) -> None:
        """Give a file or link all that ``like`` has beside its content: owner, mode, time, attributes."""
        at = self._at(path)
        status = at.lstat()
        if (status.st_uid, status.st_gid) != like.owner:
            os.chown(at, *like.owner, follow_symlinks=False)
        if like.kind == "file":
            os.chmod(at, like.mode)
            for name, value in like.xattrs:
                with _passing_over(errno.ENOTSUP, errno.EPERM):
                    os.setxattr(at, name, value, follow_symlinks=False)
        if like.mtime_ns:
            os.utime(at, ns=(like.mtime_ns, like.mtime_ns), follow_symlinks=False)

    def rename(self, old: str, new: str) -> None:
        """Put ``old`` in the place of ``new`` in one step."""
        self._at(old).rename(self._at(new))

    def remove(self, path: str) -> None:
        """Remove a file or link, if it is there."""
        self._at(path).unlink(missing_ok=True)

    def make_directory(self, path: str, mode: int) -> None:
        """Make one directory, whatever the umask."""
        at = self._at(path)
        at.mkdir(mode=0o700)
        os.chmod(at, mode)

    def remove_directory(self, path: str) -> None:
        """Remove a directory if it is there and empty."""
        with _passing_over(errno.ENOENT, errno.ENOTEMPTY, errno.EEXIST, errno.EBUSY):
            self._at(path).rmdir()

    def sync(self, directory: str) -> None:
        """Have what was made, renamed or removed in a directory on the disk when this returns."""
        if os.name == "nt":
            return
        with _passing_over(errno.ENOENT):
            handle = os.open(self._at(directory), os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)

    # Changing, in several of these steps

    def put(self, path: str, wanted: Snapshot) -> None:
        """Make ``path`` what ``wanted`` says, in one step for whoever looks at it."""
        made = beside(path)
        self.remove(made)
        if wanted.kind == "absent":
            self.remove(path)
        else:
            if wanted.kind == "link":
                self.symlink(made, wanted.target)
            else:
                self.create(made, wanted.octets)
            self.dress(made, wanted)
            self.rename(made, path)
        self.sync(str(PurePosixPath(path).parent))

    def missing_directories(self, path: str) -> list[str]:
        """Give the directories above ``path`` that are not there, the topmost first."""
        return [
            str(parent)
            for parent in reversed(PurePosixPath(path).parents)
            if self.follow(str(parent)) is None
        ]

    def is_private(self, path: str) -> bool:
        """Tell whether only root and ourselves can have written what is at ``path``."""
        if os.name == "nt":
            return True
        status = self._at(path).lstat()
        return status.st_uid in (0, os.geteuid()) and not status.st_mode & 0o022

    @contextlib.contextmanager
    def lock(self, path: str, mode: int = 0o600) -> Iterator[bool]:
        """Hold a lock file; False if another process has it. It is let go when this process ends."""
        if os.name == "nt":
            yield True
            return
        import fcntl

        handle = os.open(self._at(path), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                yield True
        finally:
            os.close(handle)

    def _at(self, path: str) -> Path:
        """Give where ``path`` really is; links in the directories above do not lead out of ``root``."""
        pure = PurePosixPath(path)
        parent = self.follow(str(pure.parent))
        return self._below(path) if parent is None else self._below(parent) / pure.name

    def _below(self, path: str) -> Path:
        return self._root / path.lstrip("/")


def beside(path: str) -> str:
    """Name the file in which ``put`` prepares what is to stand at ``path``; it is never left over."""
    pure = PurePosixPath(path)
    return str(pure.with_name(f".{pure.name}{_SUFFIX}"))


def meant_by(path: str) -> str:
    """Name the file that a person knows: the one that is prepared at ``path``, or ``path`` itself."""
    pure = PurePosixPath(path)
    if pure.name.startswith(".") and pure.name.endswith(_SUFFIX):
        return str(pure.with_name(pure.name[1:].removesuffix(_SUFFIX)))
    return path


def _xattrs(at: Path) -> tuple[tuple[str, bytes], ...]:
    """Give the extended attributes, such as SELinux's label and the access control list."""
    if not hasattr(os, "listxattr"):
        return ()
    try:
        names = sorted(os.listxattr(at, follow_symlinks=False))
        return tuple((name, os.getxattr(at, name, follow_symlinks=False)) for name in names)
    except OSError as error:
        if error.errno != errno.ENOTSUP:
            raise
        return ()


@contextlib.contextmanager
def _passing_over(*numbers: int) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in numbers:
            raise
