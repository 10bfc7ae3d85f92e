"""Say where secdns keeps what, on this system and for this user.

Nothing here touches the disk but ``find_config_file``, and nothing is created. The only door to
platformdirs, which is loaded on the first call: most commands need it for one path or not at all.

The system-wide daemon on Linux and the like is started by systemd, which names its directories in
the environment (``STATE_DIRECTORY`` and its sisters, systemd.exec(5)); those come first.
"""

import os
import sys
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Final

APP: Final = "secdns"
CONFIG_FILE_NAME: Final = "secdns.toml"
SYSTEM_CONFIG_FILE: Final = Path("/etc/secdns") / CONFIG_FILE_NAME
CONTROL_SOCKET: Final = "control.sock"
CONTROL_KEY: Final = "control.key"  # where there are no Unix sockets
SYSTEM_RUNTIME_DIR: Final = Path("/run/secdns")

# Not the daemon's own directories: what these say is done with root's rights.
_SETTINGS_DIRS: Final = {  # the first is empty after a reboot
    "linux": ("/run/secdns-system", "/var/lib/secdns-system"),
    "darwin": ("/var/run/secdns-system", "/var/db/secdns-system"),
    "win32": ("/ProgramData/secdns/system", "/ProgramData/secdns/system"),
}


def user_config_file() -> Path:
    """Name this user's own configuration file."""
    import platformdirs

    return platformdirs.user_config_path(APP, appauthor=False, roaming=True) / CONFIG_FILE_NAME


def system_config_file() -> Path:
    """Name the configuration file of the whole machine."""
    if sys.platform == "win32" or sys.platform == "darwin":
        import platformdirs

        return platformdirs.site_config_path(APP, appauthor=False) / CONFIG_FILE_NAME
    return SYSTEM_CONFIG_FILE


def config_file_candidates() -> tuple[Path, ...]:
    """List the files that are looked for when none was named; the first that is there is used.

    The first of the list is also where ``secdns config init`` writes. A person's own file comes
    before the machine's, so that trying something needs no root. Root and a service (systemd says
    so with ``CONFIGURATION_DIRECTORY``) read the machine's file only: what a home directory says must not
    steer a process with privileges.
    """
    given = _from_environment("CONFIGURATION_DIRECTORY")
    if given is not None:
        return (given / CONFIG_FILE_NAME,)
    if _is_root():
        return (system_config_file(),)
    return (user_config_file(), system_config_file())


def find_config_file() -> Path | None:
    """Give the first configuration file that is there, or None: then the defaults hold.

    A file that is there but cannot be looked at counts as there, so that opening it says why:
    falling through to other settings than the person wrote would be worse.
    """
    for path in config_file_candidates():
        try:
            path.stat()
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError:
            return path
        return path
    return None


def state_dir() -> Path:
    """Name the directory of what must survive a restart: journals, trust anchor state."""
    given = _from_environment("STATE_DIRECTORY")
    if given is not None:
        return given
    import platformdirs

    if _is_root():
        return Path("/var/lib") / APP if _is_unix() else platformdirs.site_data_path(APP, appauthor=False)
    return platformdirs.user_state_path(APP, appauthor=False)


def cache_dir() -> Path:
    """Name the directory of what may be lost at any time."""
    given = _from_environment("CACHE_DIRECTORY")
    if given is not None:
        return given
    import platformdirs

    if _is_root():
        return Path("/var/cache") / APP if _is_unix() else platformdirs.site_cache_path(APP, appauthor=False)
    return platformdirs.user_cache_path(APP, appauthor=False)


def runtime_dir() -> Path:
    """Name the directory of sockets and pid files, empty after a reboot."""
    given = _from_environment("RUNTIME_DIRECTORY")
    if given is not None:
        return given
    if _is_root() and _is_unix():
        return SYSTEM_RUNTIME_DIR
    import platformdirs

    return platformdirs.user_runtime_path(APP, appauthor=False)


def settings_journal(*, volatile: bool) -> PurePosixPath:
    """Name the file that says what the system's DNS settings were before secdns changed them.

    ``volatile``: where it does not survive a reboot. The environment has no say, whoever asks: a
    rescue has to find it. The path is absolute on the system's own drive.
    """
    lost, kept = _SETTINGS_DIRS.get(sys.platform, _SETTINGS_DIRS["linux"])
    return PurePosixPath(lost if volatile else kept) / "journal.json"


def control_socket() -> Path:
    """Name the socket that a daemon of this user opens; on Windows the file with the key to its port."""
    return runtime_dir() / (CONTROL_KEY if sys.platform == "win32" else CONTROL_SOCKET)


def control_sockets() -> tuple[Path, ...]:
    """List the sockets where a daemon may be listening: this user's own first, then the machine's."""
    own = control_socket()
    if sys.platform == "win32":  # where the service that packaging/windows describes is told to put it
        system = Path(os.environ.get("PROGRAMDATA", "C:/ProgramData"), APP, "run", CONTROL_KEY)
    else:
        system = SYSTEM_RUNTIME_DIR / CONTROL_SOCKET
    return (own,) if own == system or sys.platform == "darwin" else (own, system)


def program() -> list[str]:
    """Give the command that this program was started by, for any user to run from any folder."""
    started = Path(sys.argv[0])
    if started.name == "secdns" and started.is_file():
        return [str(started.resolve())]
    return [sys.executable, "-P", "-m", APP]


def _from_environment(variable: str) -> Path | None:
    """Read one of systemd's variables: absolute paths with colons between them, the first is ours."""
    value = os.environ.get(variable, "")
    if sys.platform == "win32":  # one path, with a colon after the drive
        return Path(value) if PureWindowsPath(value).is_absolute() else None
    first = value.partition(":")[0]
    return Path(first) if first.startswith("/") else None


def _is_root() -> bool:
    return hasattr(os, "geteuid") and os.geteuid() == 0


def _is_unix() -> bool:
    return sys.platform not in ("win32", "darwin")
