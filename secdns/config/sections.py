"""Read the document table by table; [server] and the short tables are read here."""

import re
from collections.abc import Iterator, Mapping, Sequence
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Final, cast, get_args

from secdns.config.keys import KEYS
from secdns.config.lines import Path
from secdns.config.model import (
    ANCHORS,
    CACHE_MB,
    LISTEN_ADDRESSES,
    PORT,
    CacheConfig,
    Config,
    DNSSECConfig,
    ListenAddress,
    Network,
    ServerConfig,
    Strategy,
)
from secdns.config.reader import Problems, Table, nearest, shape, show
from secdns.config.routes import read_overrides, read_routes
from secdns.config.upstreams import read_upstreams
from secdns.dns.name import from_text
from secdns.errors import ConfigError

DEFAULT_LISTEN: Final = ("127.0.0.1", "::1")


def read_config(document: Mapping[str, object], problems: Problems, lines: Mapping[str, int]) -> Config:
    """Read the whole document. What is wrong is in ``problems``; then the result is not to be used."""
    for key in document:
        if key not in _table_names():
            problems.add((key,), _unknown_table(key, document[key]))
    upstream_tables = tuple(_tables("upstream", document, problems))
    upstreams = read_upstreams(upstream_tables, problems)
    names = list(dict.fromkeys([upstream.name for upstream in upstreams] + _declared(upstream_tables)))
    strategy = _table("upstreams", document, problems).choice("strategy", get_args(Strategy))
    cache = _table("cache", document, problems)
    return Config(
        server=_read_server(_table("server", document, problems)),
        upstreams=upstreams,
        strategy=cast(Strategy, strategy),
        dnssec=_read_dnssec(_table("dnssec", document, problems)),
        cache=CacheConfig(
            size_octets=cache.integer("size_mb", CACHE_MB) << 20,
            serve_stale=cache.boolean("serve_stale", True),
        ),
        routes=read_routes(tuple(_tables("route", document, problems)), names),
        overrides=read_overrides(document.get("overrides", {}), problems),
        strict=_table("network", document, problems).boolean("strict", False),
        log_names=_table("log", document, problems).boolean("names", False),
        source=problems.source,
        lines=lines,
    )


def _declared(tables: Sequence[Table]) -> list[str]:
    """Give the names as written: an upstream with another mistake is still one that a route may name."""
    return [given for table in tables if isinstance(given := table.values.get("name"), str)]


def _table_names() -> tuple[str, ...]:
    return tuple(header.strip("[]") for header in KEYS)


def _unknown_table(key: str, value: object) -> str:
    if isinstance(value, dict | list) and key not in _keys_to_tables():
        return f"unknown table, want one of {', '.join(KEYS)}{nearest(key, _table_names())}"
    tables = _keys_to_tables()
    if key in tables:
        return f"unknown key here, it belongs into {tables[key]}"
    near = nearest(key, (*tables, *_table_names()))
    return f"unknown key, want keys inside one of the tables {', '.join(KEYS)}{near}"


def _keys_to_tables() -> dict[str, str]:
    return {key: header for header, keys in KEYS.items() for key in keys}


def _table(key: str, document: Mapping[str, object], problems: Problems) -> Table:
    """Give the table ``[key]``; an empty one when it is absent or something else."""
    value = document.get(key, {})
    if not isinstance(value, dict):
        problems.add((key,), f"is {shape(value)}, want the table [{key}]")
        value = {}
    table = Table((key,), value, problems)
    _check_keys(table, f"[{key}]")
    return table


def _tables(key: str, document: Mapping[str, object], problems: Problems) -> Iterator[Table]:
    """Give each of the tables ``[[key]]``."""
    values = document.get(key, [])
    if not isinstance(values, list) or not all(isinstance(value, dict) for value in values):
        problems.add((key,), f"is {shape(values)}, want [[{key}]] with two brackets, once for each")
        return
    for index, value in enumerate(values):
        table = Table((key, index), value, problems)
        _check_keys(table, f"[[{key}]]")
        yield table


def _check_keys(table: Table, header: str) -> None:
    table.check_keys(KEYS[header], {other: keys for other, keys in KEYS.items() if other != header})


def _read_server(table: Table) -> ServerConfig:
    listen = table.strings("listen", _parse_listen, LISTEN_ADDRESSES)
    acl = table.strings("acl", _parse_network)
    _check_listen(table, listen)
    defaults = tuple(ListenAddress(host, PORT.default, is_default=True) for host in DEFAULT_LISTEN)
    return ServerConfig(
        listen=tuple(address for _, address in listen) if "listen" in table.values else defaults,
        acl=tuple(network for _, network in acl),
    )


def _read_dnssec(table: Table) -> DNSSECConfig:
    mode = table.choice("mode", ("validate", "off"))
    return DNSSECConfig(
        mode="off" if mode == "off" else "validate",
        trust_anchors=tuple(text for _, text in table.strings("trust_anchors", _check_anchor, ANCHORS)),
        negative_trust_anchors=tuple(
            name for _, name in table.strings("negative_trust_anchors", _parse_name, ANCHORS)
        ),
        sha1=table.boolean("sha1", False),
    )


def _check_anchor(text: str) -> str:
    from secdns.dnssec.anchors import parse  # it needs cryptography, which most configurations do not

    parse(text)
    return text


def _parse_name(text: str) -> bytes:
    return from_text(text).lower()


def _parse_listen(text: str) -> ListenAddress:
    match = re.fullmatch(r"(?:\[([^\]]*)\]|([^:\[\]]*)):([0-9]{1,5})", text)
    if match is None:
        raise ConfigError(f'{show(text)} is not address:port, want one like "127.0.0.1:53" or "[::1]:53"')
    try:
        address = ip_address(match[1] or match[2] or "")
    except ValueError:
        raise ConfigError(
            f"{show(text)} has no IP address before the port, want one like 127.0.0.1"
        ) from None
    if (match[1] is None) is (address.version == 6):
        raise ConfigError(f'{show(text)} has wrong brackets, want "127.0.0.1:53" or "[::1]:53"')
    if address.is_multicast or (
        isinstance(address, IPv6Address) and (address.scope_id or address.ipv4_mapped)
    ):
        raise ConfigError(f"{show(text)} cannot be listened on, want a unicast address without zone")
    if not PORT.least <= int(match[3]) <= PORT.most:
        raise ConfigError(f"{show(text)} has port {match[3]}, want {PORT.least} to {PORT.most}")
    return ListenAddress(str(address), int(match[3]), is_default=False)


def _check_listen(table: Table, listen: Sequence[tuple[Path, ListenAddress]]) -> None:
    """Note addresses that collide, and those that others can reach without saying who may ask (R4)."""
    seen: dict[tuple[int, int], list[str]] = {}
    for place, address in listen:
        parsed = ip_address(address.host)
        others = seen.setdefault((parsed.version, address.port), [])
        if address.port and (
            address.host in others or (others and _any_unspecified([address.host, *others]))
        ):
            table.problems.add(
                place, f"{show(str(address))} is taken by another entry of the list, want each once"
            )
        others.append(address.host)
        if not parsed.is_loopback and not table.values.get("acl"):
            table.problems.add(
                place,
                f"{show(str(address))} can be reached by other machines, want server.acl to say who may ask",
                hint='name the clients in [server], for example: acl = ["192.168.1.0/24"]',
            )


def _any_unspecified(hosts: Sequence[str]) -> bool:
    return any(ip_address(host).is_unspecified for host in hosts)


def _parse_network(text: str) -> Network:
    try:
        return ip_network(text)
    except ValueError:
        pass
    try:
        near = f", did you mean {ip_network(text, strict=False)}?"
    except ValueError:
        near = ""
    raise ConfigError(
        f'{show(text)} is not a network, want one like "192.168.1.0/24" or "2001:db8::/64"{near}'
    )
