"""Sign a zone with somebody else's signer: BIND's dnssec-signzone, Knot's kzonesign or ldns-signzone.

Keys are made for each zone, in a directory of its own, and go with it. What comes out is read back with
dnspython, so that a test can break it before a server has it.
"""

import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import dns.zone

from tests.lab.programs import find

DAY_S = 86_400
NAMES = {
    7: ("NSEC3RSASHA1", "rsasha1-nsec3-sha1", "RSASHA1-NSEC3-SHA1"),
    8: ("RSASHA256", "rsasha256", "RSASHA256"),
    10: ("RSASHA512", "rsasha512", "RSASHA512"),
    13: ("ECDSAP256SHA256", "ecdsap256sha256", "ECDSAP256SHA256"),
    14: ("ECDSAP384SHA384", "ecdsap384sha384", "ECDSAP384SHA384"),
    15: ("ED25519", "ed25519", "ED25519"),
    16: ("ED448", "ed448", "ED448"),
}
"""Algorithm -> what BIND, Knot and ldns call it."""

RSA = frozenset({7, 8, 10})
RSA_BITS = 2048


@dataclass(frozen=True, slots=True)
class NSEC3:
    """Parameters of hashed denial (RFC 5155 §4.1); ``salt`` in hexadecimal."""

    iterations: int = 0
    salt: str = ""
    opt_out: bool = False


@dataclass(frozen=True, slots=True)
class Signing:
    """How a zone is signed: with NSEC unless ``nsec3`` says otherwise.

    ``begins_s`` and ``ends_s`` are the signatures' times, in seconds from now. ``is_split``: one key signs
    the keys, another one the rest (BIND only); else one key signs all.
    """

    signer: str
    algorithm: int
    nsec3: NSEC3 | None = None
    begins_s: int = -2 * 3600
    ends_s: int = 14 * DAY_S
    is_split: bool = False


def sign(directory: Path, zone: str, text: str, signing: Signing, now: int) -> dns.zone.Zone:
    """Give the zone of this master file, signed.

    Raises:
        MissingProgram: the signer is not installed.
    """
    directory.mkdir(parents=True)
    source = directory / "zone"
    source.write_text(text)
    signed = SIGNERS[signing.signer](directory, zone, source, signing, now)
    return dns.zone.from_file(str(signed), origin=zone, relativize=False, check_origin=False)


def _run(directory: Path, program: str, *arguments: str) -> str:
    done = subprocess.run(
        [find(program), *arguments], cwd=directory, capture_output=True, text=True, timeout=30, check=False
    )
    if done.returncode != 0:
        raise AssertionError(f"{program} {' '.join(arguments)}: {done.stdout}{done.stderr}")
    return done.stdout


def _date(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y%m%d%H%M%S")


def _bits(algorithm: int) -> list[str]:
    return ["-b", str(RSA_BITS)] if algorithm in RSA else []


def _bind(directory: Path, zone: str, source: Path, signing: Signing, now: int) -> Path:
    for role in [["-f", "KSK"], []] if signing.is_split else [["-f", "KSK"]]:
        name, bits = NAMES[signing.algorithm][0], _bits(signing.algorithm)
        _run(directory, "dnssec-keygen", "-q", "-K", ".", "-a", name, *bits, *role, zone)
    options = ["-x"] if signing.is_split else ["-z"]
    if signing.nsec3:
        options += ["-3", signing.nsec3.salt or "-", "-H", str(signing.nsec3.iterations)]
        options += ["-A"] if signing.nsec3.opt_out else []
    times = ["-s", _date(now + signing.begins_s), "-e", _date(now + signing.ends_s)]
    origin = ["-o", zone, "-f", "signed", str(source)]
    _run(directory, "dnssec-signzone", "-q", "-P", "-S", "-K", ".", "-n", "1", *options, *times, *origin)
    return directory / "signed"


def _ldns(directory: Path, zone: str, source: Path, signing: Signing, now: int) -> Path:
    name, bits = NAMES[signing.algorithm][2], _bits(signing.algorithm)
    key = _run(directory, "ldns-keygen", "-a", name, *bits, "-k", zone).strip()
    options = []
    if signing.nsec3:
        options = ["-n", "-t", str(signing.nsec3.iterations)]
        options += ["-s", signing.nsec3.salt] if signing.nsec3.salt else []
        options += ["-p"] if signing.nsec3.opt_out else []
    times = ["-i", _date(now + signing.begins_s), "-e", _date(now + signing.ends_s)]
    _run(directory, "ldns-signzone", *options, *times, "-o", zone, "-f", "signed", str(source), key)
    return directory / "signed"


def _knot(directory: Path, zone: str, source: Path, signing: Signing, now: int) -> Path:
    """Sign with kzonesign, which dates a signature 90 minutes back from the time that it is told."""
    (directory / "keys").mkdir()
    (directory / "out").mkdir()
    config = directory / "knot.conf"
    lines = [
        f"    algorithm: {NAMES[signing.algorithm][1]}",
        *([f"    ksk-size: {RSA_BITS}"] if signing.algorithm in RSA else []),
        f"    rrsig-lifetime: {signing.ends_s - signing.begins_s}s",
    ]
    if signing.nsec3:
        lines += [
            "    nsec3: on",
            f"    nsec3-iterations: {signing.nsec3.iterations}",
            f"    nsec3-salt-length: {len(signing.nsec3.salt) // 2}",
            f"    nsec3-opt-out: {'on' if signing.nsec3.opt_out else 'off'}",
        ]
    config.write_text(
        f"""\
database:
    storage: "{directory}/keys"
policy:
  - id: lab
    single-type-signing: on
    cds-cdnskey-publish: none
{chr(10).join(lines)}
zone:
  - domain: {zone}
    file: "{source}"
    dnssec-signing: on
    dnssec-policy: lab
"""
    )
    told = str(now + signing.begins_s + 90 * 60)
    _run(directory, "kzonesign", "-c", str(config), "-r", "-t", told, "-o", "out", zone)
    (signed,) = (directory / "out").iterdir()
    return signed


SIGNERS: dict[str, Callable[[Path, str, Path, Signing, int], Path]] = {
    "bind": _bind,
    "knot": _knot,
    "ldns": _ldns,
}
