"""The key to the local API where a system has no Unix sockets: a file with a port of loopback and a secret.

Every program of every user reaches a port, and so does a web page; who may read the file may ask. Neither
side sends the secret: each proves that it has it, for a number that was made for this request. So a program
that takes the port of a daemon that has crashed learns nothing, and is not taken for the daemon. `curl`
cannot do that and may send the secret itself.
"""

import contextlib
import hashlib
import hmac
import json
import os
import secrets
import stat
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from secdns.errors import ControlError

HOST: Final = "127.0.0.1"
SECRET_OCTETS: Final = 32
MAX_FILE: Final = 1024  # octets; it has some 120
SCHEME: Final = "Secdns"
PROOF_HEADER: Final = "Secdns-Proof"
# OWNER RIGHTS, SYSTEM and Administrators, by the numbers that they have in every language of Windows.
_OWNERS: Final = ("*S-1-3-4:F", "*S-1-5-18:F", "*S-1-5-32-544:F")
_GROUP: Final = "secdns:R"

Run = Callable[[Sequence[str]], bool]


@dataclass(frozen=True, slots=True)
class Key:
    """Where the daemon listens, and the secret of this run of it."""

    port: int
    secret: str = field(repr=False)

    def proof(self, side: str, nonce: str) -> str:
        """Prove to have the secret, as the "client" or the "server", for a number used once."""
        octets = f"{side} {nonce}".encode("utf-8", "surrogatepass")
        return hmac.new(self.secret.encode(), octets, hashlib.sha256).hexdigest()

    def authorization(self, nonce: str) -> str:
        """Give the value of the header that a client sends (RFC 9110 §11.4)."""
        return f"{SCHEME} {nonce}.{self.proof('client', nonce)}"

    def admits(self, authorization: str) -> str | None:
        """Check that value; give the proof that goes back, "" for who sent the secret itself.

        None: it is not right. It takes the same time whatever is wrong with a proof.
        """
        scheme, _, given = authorization.partition(" ")
        if scheme.lower() == "bearer":
            return "" if _is_same(given.strip(), self.secret) else None
        nonce, _, proof = given.strip().partition(".")
        if scheme.lower() != SCHEME.lower() or not nonce or not _is_same(proof, self.proof("client", nonce)):
            return None
        return self.proof("server", nonce)


def _is_same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode("utf-8", "surrogatepass"), other.encode())


def make(port: int) -> Key:
    """Make a key."""
    return Key(port, secrets.token_hex(SECRET_OCTETS))


def make_nonce() -> str:
    """Make a number for one request."""
    return secrets.token_hex(16)


def write(path: Path, key: Key, *, platform: str = sys.platform, run: Run | None = None) -> None:
    """Put a key where clients look for it, in one step; the secret is never in a file that others can read.

    Raises:
        ControlError: the file cannot be kept from others.
        OSError: it cannot be written.
    """
    part = path.with_name(f".{path.name}.part")
    part.unlink(missing_ok=True)
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0), 0o600)
    try:
        with os.fdopen(handle, "w", encoding="ascii") as file:
            if platform == "win32":
                _restrict(part, run or _run)
            json.dump({"port": key.port, "secret": key.secret}, file)
        part.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            part.unlink()
        raise


def _restrict(path: Path, run: Run) -> None:
    """Have Windows let nobody read it but its owner, administrators and the group, if there is one.

    Written from documentation (icacls); nobody has tried it on a real Windows yet.
    """
    if not run(["icacls", str(path), "/inheritance:r", "/grant:r", *_OWNERS]):
        raise ControlError(f"{path} cannot be kept from others")
    run(["icacls", str(path), "/grant:r", _GROUP])  # fails where there is no such group


def _run(argv: Sequence[str]) -> bool:
    import subprocess  # on Windows alone

    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=10, check=False)  # noqa: S603
    return done.returncode == 0


def read(path: Path) -> Key:
    """Read a key.

    Raises:
        ControlError: it is none, or somebody else can have written it.
        OSError: it is not there, or not for us to read.
    """
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    with os.fdopen(handle, "rb") as file:
        facts = os.fstat(handle)
        if not stat.S_ISREG(facts.st_mode):
            raise ControlError(f"{path} is no file")
        if hasattr(os, "geteuid"):
            owners = (0, os.geteuid(), path.parent.stat().st_uid)
            if facts.st_uid not in owners or facts.st_mode & 0o022:
                raise ControlError(f"others can have written {path}")
        octets = file.read(MAX_FILE)
    try:
        value = json.loads(octets)
        port, secret = value["port"], value["secret"]
    except (ValueError, KeyError, TypeError) as error:
        raise ControlError(f"{path} says nothing of a daemon") from error
    if not isinstance(port, int) or not 0 < port < 65536 or not isinstance(secret, str) or not secret:
        raise ControlError(f"{path} says nothing of a daemon")
    return Key(port, secret)
