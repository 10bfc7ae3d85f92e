"""Read [[route]] and [overrides]: names that do not go where the others go."""

from collections.abc import Iterator, Mapping, Sequence
from ipaddress import IPv6Address, ip_address

from secdns import endpoint, providers
from secdns.config.keys import KEYS
from secdns.config.lines import Path
from secdns.config.model import NETWORK, OVERRIDE_ADDRESSES, RouteConfig
from secdns.config.reader import Problems, Table, nearest, shape, show, show_path
from secdns.config.upstreams import read_url
from secdns.dns import name
from secdns.endpoint import PLAIN_SCHEMES, Endpoint
from secdns.errors import ConfigError, Error


def read_routes(tables: Sequence[Table], names: Sequence[str]) -> tuple[RouteConfig, ...]:
    """Give the routes; ``names`` are the upstreams that ``via`` can name."""
    routes = []
    seen: dict[bytes, Path] = {}
    for table in tables:
        for key in KEYS["[[route]]"]:
            if key not in table.values or table.values[key] == []:
                table.problems.add((*table.path, key), "nothing given, want both domains and via")
        domains = table.strings("domains", _parse_domain)
        via = table.text("via")
        where = None if via is None else _read_via(table, via, names)
        for place, domain in domains:
            text = show(name.to_text(domain))
            if domain in seen:
                table.problems.add(
                    place, f"{text} is in {show_path(seen[domain])} as well, want each name once"
                )
            elif domain == name.ROOT and (
                via == NETWORK or (where is not None and not _stays_private(where))
            ):
                text = f"{text} would send every query there in plain, want names of that network"
                table.problems.add(place, text)
            seen[domain] = place
        routes.append(RouteConfig(tuple(domain for _, domain in domains), via or "", where))
    return tuple(routes)


def _stays_private(where: Endpoint) -> bool:
    return where.is_encrypted or ip_address(where.host).is_loopback


def _read_via(table: Table, via: str, names: Sequence[str]) -> Endpoint | None:
    """Give the endpoint that ``via`` is the URL of; None for an upstream's name and for the network."""
    place = (*table.path, "via")
    if via == NETWORK or via in names:
        return None
    if "://" not in via:
        if endpoint.is_ip_literal(via):
            host = f"[{via}]" if ":" in via else via
            near = f", did you mean udp://{host}?"
        elif via in providers.PROVIDERS():
            near = f" (add an [[upstream]] with this name to use the built-in {via})"
        else:
            near = nearest(via, (NETWORK, *names))
        wanted = (
            f"want udp://, tcp://, tls://, https://, quic://, h3://, {NETWORK} or one of {', '.join(names)}"
        )
        table.problems.add(place, f"{show(via)} is no upstream, {wanted}{near}")
        return None
    where = read_url(place, via, table.problems)
    if where is not None and where.scheme in PLAIN_SCHEMES and not where.is_ip:
        table.problems.add(place, f"{show(via)} has a host name, want an IP address: it is asked in plain")
        return None
    return where


def _parse_domain(text: str) -> bytes:
    """Give an owner name in lower case. Both the name and all below it are meant, so no wildcards."""
    trimmed = text.removeprefix("*.").removeprefix(".") if text != "." else text
    if not text or trimmed != text:
        raise ConfigError(
            f'{show(text)} is not a name, want one like "corp.example"; all below it is included'
        )
    return name.from_text(text).lower()


# [overrides]


def read_overrides(value: object, problems: Problems) -> tuple[tuple[bytes, str], ...]:
    """Give a pair of owner name and address for each fixed answer."""
    if not isinstance(value, dict):
        problems.add(("overrides",), f"is {shape(value)}, want the table [overrides]")
        return ()
    pairs: dict[bytes, list[str]] = {}
    for path, written, given in _flatten(("overrides",), "", value):
        try:
            owner = _parse_owner(written)
            addresses = _parse_addresses(given)
            if owner in pairs:
                raise ConfigError("is there twice, want each name once")
            pairs[owner] = addresses
        except Error as error:
            problems.add_error(path, error)
    return tuple((owner, address) for owner, addresses in pairs.items() for address in addresses)


def _flatten(path: Path, written: str, value: Mapping[str, object]) -> Iterator[tuple[Path, str, object]]:
    """Give every name with its value: without quotes, TOML makes tables of the labels of a name."""
    for key, inner in value.items():
        joined = f"{written}.{key}" if written else key
        if isinstance(inner, dict):
            yield from _flatten((*path, key), joined, inner)
        else:
            yield (*path, key), joined, inner


def _parse_owner(text: str) -> bytes:
    if text in ("", ".") or text.startswith("*"):
        raise ConfigError(f"{show(text)} cannot be given an address, want one host name, no wildcard")
    return name.from_text(text).lower()


def _parse_addresses(value: object) -> list[str]:
    values = value if isinstance(value, list) else [value]
    if not OVERRIDE_ADDRESSES.least <= len(values) <= OVERRIDE_ADDRESSES.most:
        wanted = f"want {OVERRIDE_ADDRESSES.least} to {OVERRIDE_ADDRESSES.most}"
        raise ConfigError(f"the list has {len(values)} addresses, {wanted}")
    found = []
    for one in values:
        try:
            address = ip_address(one if isinstance(one, str) else "")
        except ValueError:
            address = None
        if address is None or (isinstance(address, IPv6Address) and address.scope_id is not None):
            raise ConfigError(
                f'{show(one)} is not an IP address, want one like "192.168.1.9", or a list of them'
            )
        found.append(str(address))
    return list(dict.fromkeys(found))
