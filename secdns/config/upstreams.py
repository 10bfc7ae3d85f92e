"""Read [[upstream]]: a built-in one by name, or one of your own by URL."""

import base64
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path as FilePath
from typing import Final

from secdns import endpoint, providers, proxies
from secdns.config.lines import Path
from secdns.config.model import UPSTREAMS, UpstreamConfig
from secdns.config.permissions import check_permissions
from secdns.config.reader import Problems, Table, nearest, show
from secdns.endpoint import PLAIN_SCHEMES, Endpoint
from secdns.errors import ConfigError, Error

TRANSPORTS: Final = ("auto", *providers.TRANSPORTS)
_OWN_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_RESERVED_NAMES: Final = ("network", "auto", "default")  # mean something of their own, now or later


def read_upstreams(tables: Sequence[Table], problems: Problems) -> tuple[UpstreamConfig, ...]:
    """Give the upstreams in the order of the file, or the default ones when it names none."""
    if not tables:
        return tuple(_builtin(provider) for provider in providers.DEFAULT)
    if len(tables) > UPSTREAMS.most:
        problems.add(tables[UPSTREAMS.most].path, f"is one too many, want at most {UPSTREAMS.most}")
    found: dict[str, UpstreamConfig] = {}
    for table in tables:
        upstream = _read_upstream(table)
        if upstream is None:
            continue
        if upstream.name in found:
            place = (*table.path, "name" if "name" in table.values else "url")
            problems.add(place, f"there is another upstream {show(upstream.name)}, want each name once")
        found[upstream.name] = upstream
    return tuple(found.values())


def _read_upstream(table: Table) -> UpstreamConfig | None:
    given = table.text("name")
    url = table.text("url")
    transport = table.choice("transport", TRANSPORTS)
    if "url" in table.values:
        upstream = _own_upstream(table, given, url)
    elif "name" not in table.values:
        table.problems.add(table.path, "has neither name nor url, want one of them")
        upstream = None
    else:
        upstream = _named_upstream(table, given, transport)
    extras = _read_extras(table)
    if upstream is None:
        return None
    endpoints = tuple(_with_extras(one, extras) for one in upstream.endpoints)
    return replace(upstream, endpoints=_proxied(table, endpoints) if "proxy" in extras else endpoints)


def _proxied(table: Table, endpoints: tuple[Endpoint, ...]) -> tuple[Endpoint, ...]:
    """Give the endpoints that can go through a proxy, or note that there is none."""
    usable = tuple(one for one in endpoints if one.scheme in endpoint.PROXY_SCHEMES)
    if not usable and endpoints:
        try:
            endpoint.check_proxied(endpoints[0])
        except Error as error:
            table.problems.add_error((*table.path, "proxy"), error)
    return usable


def _own_upstream(table: Table, given: str | None, url: str | None) -> UpstreamConfig | None:
    if "transport" in table.values:
        table.problems.add(
            (*table.path, "transport"), "is for built-in upstreams, want the url alone to say it"
        )
    if given is not None:
        if given in providers.PROVIDERS():
            wanted = "want another name, or no url to use the built-in one"
            table.problems.add((*table.path, "name"), f"{show(given)} is a built-in upstream, {wanted}")
        elif not _OWN_NAME.fullmatch(given) or given in _RESERVED_NAMES:
            wanted = "want letters, digits, dots and hyphens, 63 at most"
            table.problems.add(
                (*table.path, "name"), f"{show(given)} cannot be the name of an upstream, {wanted}"
            )
    where = None if url is None else read_url((*table.path, "url"), url, table.problems)
    if where is None:
        return None
    if where.scheme in PLAIN_SCHEMES:
        text = f"{show(url)} is not encrypted, want https:// or tls:// (plain DNS only in a [[route]])"
        table.problems.add((*table.path, "url"), text)
        return None
    return UpstreamConfig(given or where.host, (where,))


def _named_upstream(table: Table, given: str | None, transport: str) -> UpstreamConfig | None:
    known = providers.PROVIDERS()
    if given is None:
        return None
    if given in known:
        upstream = _builtin(given, transport)
        if not upstream.endpoints:
            text = f"{show(transport)} is not offered by {given}, want {' or '.join(known[given].transports)}"
            table.problems.add((*table.path, "transport"), text)
        return upstream
    table.problems.add(
        (*table.path, "name"),
        f"{show(given)} is no built-in upstream, want one or a url{nearest(given, tuple(known))}",
        hint="`secdns upstreams` lists the built-in ones",
    )
    return None


def _builtin(provider: str, transport: str = "auto") -> UpstreamConfig:
    known = providers.PROVIDERS()[provider]
    if transport == "auto":
        return UpstreamConfig(provider, known.auto)
    chosen = known.endpoints.get(transport)
    return UpstreamConfig(provider, () if chosen is None else (chosen,))


def read_url(place: Path, url: str, problems: Problems) -> Endpoint | None:
    """Read a URL; None and a problem if it cannot be used."""
    try:
        return endpoint.parse(url)
    except Error as error:
        problems.add_error(place, error)
        return None


# what a URL cannot say


def _read_extras(table: Table) -> dict[str, object]:
    """Give the fields of the endpoint that were set: addresses, ca_file, pin_sha256, proxy."""
    extras: dict[str, object] = {}
    if addresses := table.strings("addresses", endpoint.parse_address):
        extras["addresses"] = tuple(dict.fromkeys(address for _, address in addresses))
    if pins := table.strings("pin_sha256", _parse_pin):
        extras["pin_sha256"] = tuple(dict.fromkeys(pin for _, pin in pins))
    for key in ("addresses", "pin_sha256"):
        if table.values.get(key) == []:
            table.problems.add((*table.path, key), "the list is empty, want an entry or no such key")
    ca_file = table.text("ca_file")
    if ca_file is not None:
        try:
            extras["ca_file"] = _check_ca_file(ca_file)
        except ConfigError as error:
            table.problems.add_error((*table.path, "ca_file"), error)
    proxy = table.text("proxy")
    if proxy is not None:
        try:
            extras["proxy"] = proxies.parse(proxy)
        except Error as error:
            table.problems.add_error((*table.path, "proxy"), error)
    return extras


def _with_extras(where: Endpoint, extras: Mapping[str, object]) -> Endpoint:
    return replace(where, **extras)  # type: ignore[arg-type]  # _read_extras names fields of Endpoint


def _parse_pin(text: str) -> str:
    try:
        digest = base64.b64decode(text, validate=True)
    except ValueError:
        digest = b""
    if len(digest) != 32:
        raise ConfigError(f"{show(text)} is not a pin, want the SHA-256 of the public key (SPKI) in base64")
    return base64.b64encode(digest).decode()


def _check_ca_file(text: str) -> str:
    """Give the path of a file of CA certificates that can be read and that others cannot write (L8)."""
    if not os.path.isabs(text):
        raise ConfigError(
            f"{show(text)} is a relative path, want one from the root, such as /etc/ssl/my-ca.pem"
        )
    try:
        with FilePath(text).open("rb") as file:
            check_permissions(file.fileno(), text)
            content = file.read(1 << 20)
    except ConfigError:
        raise
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigError(f"{show(text)} cannot be read ({reason}), want a file of certificates") from error
    if b"-----BEGIN " not in content:
        raise ConfigError(f"{show(text)} holds no certificate, want PEM (-----BEGIN CERTIFICATE-----)")
    return text
