"""Keep small files of state so that a crash, another user or a turned bit does no harm.

A file is written beside its place, synced and moved there: it is always either the old one or the
new one. Only files of ours, or of root, are read.
"""

import contextlib
import logging
import os
import stat
from pathlib import Path

_LOG = logging.getLogger(__name__)


def read(path: Path, most: int) -> bytes | None:
    """Give at most ``most`` octets of a file; None, with a warning, for one that must not be believed.

    One that is not there is None without a warning.
    """
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb") as file:
            facts = os.fstat(file.fileno())
            if not stat.S_ISREG(facts.st_mode) or facts.st_uid not in (0, os.geteuid()):
                _LOG.warning("%s is left out: it is not a file of ours", path)
                return None
            return file.read(most)
    except FileNotFoundError:
        return None
    except OSError as error:
        _LOG.warning("%s is left out: %s", path, error.strerror)
        return None


def write(path: Path, octets: bytes) -> None:
    """Put ``octets`` at ``path`` in one step that survives a crash; it blocks.

    Raises:
        OSError: it cannot be done, and nothing is changed.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with contextlib.suppress(FileNotFoundError):
        temporary.unlink()  # ours, of a process that died with the same number
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with open(os.open(temporary, flags, 0o600), "wb") as file:
            file.write(octets)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    directory = os.open(path.parent, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def set_aside(path: Path) -> None:
    """Call a damaged file ``.bad``, for whoever wants to see what became of it."""
    with contextlib.suppress(OSError):
        path.replace(path.with_name(f"{path.name}.bad"))
