"""Say what is in force and where each value comes from."""

import json
from collections.abc import Iterable, Iterator

from secdns.config.model import Config, UpstreamConfig
from secdns.config.reader import show_path
from secdns.dns import name
from secdns.stamps import is_stamp


def describe(config: Config) -> list[tuple[str, str, str]]:
    """List (key, value as the file would say it, origin) for everything that is in force.

    The origin is ``default``, ``built-in`` for the facts of a built-in upstream, or ``file:line``.
    Two are no keys: ``endpoints`` has the URLs that an upstream or the stamp of a route comes down
    to, and ``tbs_sha256`` the certificate hashes of a stamp. Credentials for a proxy are not shown.
    """
    return [(key, value, _origin(config, key)) for key, value in _settings(config)]


def _origin(config: Config, key: str) -> str:
    table, _, last = key.rpartition(".")
    derived = (f"{table}.url", f"{table}.via") if last in _DERIVED else ()
    for set_key in (key, *derived):
        if set_key in config.lines:
            return f"{config.source}:{config.lines[set_key]}"
    if key.startswith("overrides."):
        return config.source  # written with escapes, or else it would have been found
    return "built-in" if last in _DERIVED and table in config.lines else "default"


# from the url or via, or from the built-in upstream
_DERIVED = ("name", "endpoints", "addresses", "tbs_sha256")


def _settings(config: Config) -> Iterator[tuple[str, str]]:
    yield "server.listen", _list(str(address) for address in config.server.listen)
    yield "server.acl", _list(str(network) for network in config.server.acl)
    yield "upstreams.strategy", json.dumps(config.strategy)
    for number, upstream in enumerate(config.upstreams, start=1):
        for key, value in _upstream_settings(upstream):
            yield f"upstream[{number}].{key}", value
    yield "dnssec.mode", json.dumps(config.dnssec.mode)
    yield "dnssec.trust_anchors", _list(config.dnssec.trust_anchors)
    waived = config.dnssec.negative_trust_anchors
    yield "dnssec.negative_trust_anchors", _list(name.to_text(zone) for zone in waived)
    yield "dnssec.sha1", json.dumps(config.dnssec.sha1)
    yield "cache.size_mb", str(config.cache.size_octets >> 20)
    yield "cache.serve_stale", json.dumps(config.cache.serve_stale)
    for number, route in enumerate(config.routes, start=1):
        yield f"route[{number}].domains", _list(name.to_text(domain) for domain in route.domains)
        yield f"route[{number}].via", json.dumps(route.via)
        if route.endpoint is not None and is_stamp(route.via):
            yield f"route[{number}].endpoints", _list((route.endpoint.url,))
            if route.endpoint.tbs_sha256:
                yield f"route[{number}].tbs_sha256", _list(route.endpoint.tbs_sha256)
    yield from _override_settings(config)
    yield "network.strict", json.dumps(config.strict)
    yield "log.names", json.dumps(config.log_names)


def _upstream_settings(upstream: UpstreamConfig) -> Iterator[tuple[str, str]]:
    first = upstream.endpoints[0]
    yield "name", json.dumps(upstream.name)
    yield "endpoints", _list(endpoint.url for endpoint in upstream.endpoints)
    if first.addresses:
        addresses = dict.fromkeys(address for one in upstream.endpoints for address in one.addresses)
        yield "addresses", _list(addresses)
    if first.ca_file is not None:
        yield "ca_file", json.dumps(first.ca_file)
    if first.pin_sha256:
        yield "pin_sha256", _list(first.pin_sha256)
    if first.proxy is not None:
        yield "proxy", json.dumps(first.proxy.url)
    if first.tbs_sha256:
        yield "tbs_sha256", _list(first.tbs_sha256)


def _override_settings(config: Config) -> Iterator[tuple[str, str]]:
    found: dict[bytes, list[str]] = {}
    for owner, address in config.overrides:
        found.setdefault(owner, []).append(address)
    for owner, addresses in found.items():
        value = json.dumps(addresses[0]) if len(addresses) == 1 else _list(addresses)
        yield show_path(("overrides", name.to_text(owner).removesuffix("."))), value


def _list(texts: Iterable[str]) -> str:
    return json.dumps(list(texts), ensure_ascii=False)
