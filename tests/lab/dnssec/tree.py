"""Make the whole tree: keys, signatures and DS records from the leaves up, then what is to be broken."""

import hashlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import dns.dnssec
import dns.name
import dns.rdata
import dns.rdataclass
import dns.rdataset
import dns.rdatatype
import dns.zone

from tests.lab.dnssec.signers import sign
from tests.lab.dnssec.zones import DS, ZONES, Break, Zone

_DIGESTS = {1: hashlib.sha1, 2: hashlib.sha256, 4: hashlib.sha384}
_WORKERS = 2  # a signer waits for its keys to be written as much as it computes


@dataclass(frozen=True, slots=True)
class Tree:
    """The zones as files for a server, and what a validator begins with, in presentation form.

    ``tags`` are the key tags of the key that signs a zone's keys, by zone.
    """

    files: dict[str, Path]
    tags: dict[str, int]
    anchor_ds: str
    anchor_key: str


def build(directory: Path, now: int) -> Tree:
    """Sign every zone of the lab; a second or two.

    Raises:
        MissingProgram: a signer is not installed.
    """
    directory.mkdir(parents=True)
    delegations: dict[str, list[str]] = {zone.name: [] for zone in ZONES}
    finished: dict[str, dns.zone.Zone] = {}
    leaves_first = sorted(ZONES, key=lambda zone: -zone.depth)
    with ThreadPoolExecutor(_WORKERS) as pool:
        for _, level in groupby(leaves_first, key=lambda zone: zone.depth):
            zones = list(level)

            def make(zone: Zone) -> dns.zone.Zone:
                text = zone.text + "".join(delegations[zone.name])
                if zone.signing is None:
                    return dns.zone.from_text(text, origin=zone.name, relativize=False)
                return sign(directory / f"signing-{zone.name}", zone.name, text, zone.signing, now)

            for zone, made in zip(zones, pool.map(make, zones), strict=True):
                finished[zone.name] = made
                if zone.name != ".":
                    delegations[_parent(zone)] += _delegation(zone, made)
    files: dict[str, Path] = {}
    tags: dict[str, int] = {}
    for zone in ZONES:
        if zone.signing is not None:
            (key,) = entry_points(finished[zone.name])
            tags[zone.name] = _tag(key)
        if zone.broken is not None:
            _BREAKS[zone.broken](finished[zone.name])
        files[zone.name] = directory / f"{zone.name.strip('.') or 'root'}.zone"
        finished[zone.name].to_file(str(files[zone.name]), relativize=False)
    (key,) = entry_points(finished["."])
    return Tree(files, tags, f". IN DS {ds_text(dns.name.root, key, 2)}", f". IN DNSKEY {key.to_text()}")


def _parent(zone: Zone) -> str:
    """Give the name of the zone that delegates ``zone``: there may be empty non-terminals between."""
    names = {each.name for each in ZONES}
    above = zone.name.partition(".")[2]
    while above and above not in names:
        above = above.partition(".")[2]
    return above or "."


def entry_points(zone: dns.zone.Zone) -> list[dns.rdata.Rdata]:
    """Give the keys of a zone that its parent vouches for."""
    keys = zone.find_rdataset(zone.origin or dns.name.root, "DNSKEY")
    return [key for key in keys if int.from_bytes(_octets(key)[:2]) & 1]


def _octets(rdata: dns.rdata.Rdata) -> bytes:
    wire = rdata.to_wire()
    assert wire is not None
    return wire


def _delegation(zone: Zone, signed: dns.zone.Zone) -> Iterator[str]:
    yield f"{zone.name}. NS ns.{zone.name}.\n"
    yield f"ns.{zone.name}. A 127.0.0.1\n"
    if zone.ds is not DS.NONE:
        (key,) = entry_points(signed)
        for ds in _DS_RECORDS[zone.ds](dns.name.from_text(zone.name), key):
            yield f"{zone.name}. DS {ds}\n"


def ds_text(owner: dns.name.Name, key: dns.rdata.Rdata, digest_type: int) -> str:
    """Give the RDATA of the DS for a key, in presentation form (RFC 4034 §5.3)."""
    octets = owner.to_digestable(dns.name.root) + _octets(key)
    return f"{_tag(key)} {_octets(key)[3]} {digest_type} {_DIGESTS[digest_type](octets).hexdigest()}"


def _tag(key: dns.rdata.Rdata) -> int:
    """Compute the key tag (RFC 4034 appendix B)."""
    octets = _octets(key)
    total = sum(octet << 8 if at % 2 == 0 else octet for at, octet in enumerate(octets))
    return (total + (total >> 16)) & 0xFFFF


def _other_key(key: dns.rdata.Rdata) -> dns.rdata.Rdata:
    """Give a key that nobody has the private part of."""
    octets = _octets(key)
    changed = octets[:-1] + bytes([octets[-1] ^ 1])
    return dns.rdata.from_wire(dns.rdataclass.IN, dns.rdatatype.DNSKEY, changed, 0, len(changed))


def _unknown(key: dns.rdata.Rdata) -> list[str]:
    tag, algorithm = _tag(key), _octets(key)[3]
    return [f"{tag} 200 2 {'ab' * 32}", f"{tag} {algorithm} 200 {'ab' * 32}"]


def _altered(owner: dns.name.Name, key: dns.rdata.Rdata) -> list[str]:
    ds = ds_text(owner, key, 2)
    return [ds[:-1] + ("0" if ds[-1] != "0" else "1")]


_DS_RECORDS: dict[DS, Callable[[dns.name.Name, dns.rdata.Rdata], list[str]]] = {
    DS.SHA256: lambda owner, key: [ds_text(owner, key, 2)],
    DS.SHA384: lambda owner, key: [ds_text(owner, key, 4)],
    DS.SHA1: lambda owner, key: [ds_text(owner, key, 1)],
    DS.WRONG: lambda owner, key: [ds_text(owner, _other_key(key), 2)],
    DS.ALTERED: _altered,
    DS.UNKNOWN_ALGORITHM: lambda owner, key: _unknown(key)[:1],
    DS.UNKNOWN_DIGEST: lambda owner, key: _unknown(key)[1:],
    DS.BESIDE_UNKNOWN: lambda owner, key: [ds_text(owner, key, 2), *_unknown(key)],
}


# Breaking.


def _www(zone: dns.zone.Zone) -> dns.name.Name:
    return dns.name.from_text("www", zone.origin)


def _strip(zone: dns.zone.Zone) -> None:
    zone.delete_rdataset(_www(zone), "RRSIG", "A")


def _tamper(zone: dns.zone.Zone) -> None:
    zone.replace_rdataset(_www(zone), dns.rdataset.from_text("IN", "A", 300, "198.51.100.66"))


def _remove_denials(zone: dns.zone.Zone) -> None:
    for name in list(zone.nodes):
        for rrtype in ("NSEC", "NSEC3", "NSEC3PARAM"):  # Knot 3.2 crashes when only the last is left
            zone.delete_rdataset(name, rrtype)
            zone.delete_rdataset(name, "RRSIG", rrtype)


def _remove_keys(zone: dns.zone.Zone) -> None:
    assert zone.origin is not None
    zone.delete_rdataset(zone.origin, "DNSKEY")
    zone.delete_rdataset(zone.origin, "RRSIG", "DNSKEY")


def _add_key(zone: dns.zone.Zone) -> None:
    assert zone.origin is not None
    keys = zone.find_rdataset(zone.origin, "DNSKEY")
    keys.add(_other_key(keys[0]))


_BREAKS: dict[Break, Callable[[dns.zone.Zone], None]] = {
    Break.STRIPPED: _strip,
    Break.TAMPERED: _tamper,
    Break.NO_DENIALS: _remove_denials,
    Break.NO_KEYS: _remove_keys,
    Break.FOREIGN_KEYS: _add_key,
}
