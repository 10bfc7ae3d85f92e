"""`secdns run`: the daemon, in the foreground."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from secdns import paths
from secdns.errors import ConfigError

if TYPE_CHECKING:  # loaded when the command runs
    from secdns.config import Config, ListenAddress

_OPTION = "--listen"


@click.command()
@click.option("--config", "config_file", metavar="FILE", help="Read this file instead of looking for one.")
@click.option("--port", metavar="N", type=click.IntRange(1, 65535), help="Listen on this port instead.")
@click.option(
    "--listen",
    metavar="ADDR",
    multiple=True,
    help="Listen here instead: IP, IP:PORT or [IPv6]:PORT; repeatable.",
)
def run(config_file: str | None, port: int | None, listen: tuple[str, ...]) -> int:
    """Answer this machine's DNS queries through encrypted upstreams, until told to stop.

    Without --config it reads ~/.config/secdns/secdns.toml or else /etc/secdns/secdns.toml, as root
    and as a service only the latter, and without any file the defaults hold. SIGHUP makes it look
    again. Ports below 1024 need root or a service manager; to try it as yourself:
    secdns run --port 5300
    """
    from secdns import serving

    def reread() -> "Config":
        try:
            return settings(config_file, port, listen)
        except click.UsageError as failure:  # the new file does not allow what --listen wants
            raise ConfigError(failure.message) from failure

    check = [*paths.program(), "check"]
    return serving.run(settings(config_file, port, listen), reread=reread, check=check)


def settings(config_file: str | None, port: int | None, listen: Sequence[str]) -> "Config":
    """Read the configuration and put what the command line says in its place.

    It is looked for each time, so that a reload finds one that was written after the start.

    Raises:
        ConfigError: it cannot be used.
        click.UsageError: ``listen`` cannot.
    """
    from secdns import config

    loaded = config.load(Path(config_file) if config_file else None)
    if listen:
        addresses = listen_addresses(listen, port or 53, loaded)
    else:
        addresses = loaded.server.listen
    if port is not None:
        addresses = tuple(replace(address, port=port) for address in addresses)
    return replace(loaded, server=replace(loaded.server, listen=addresses))


def listen_addresses(texts: Sequence[str], port: int, loaded: "Config") -> tuple["ListenAddress", ...]:
    """Read ``--listen`` by the rules of ``server.listen``; an address without port gets ``port``.

    Raises:
        click.UsageError: not an address, or one that needs an ACL that the configuration lacks.
    """
    from secdns import config

    listen = [_with_port(text, port) for text in texts]
    acl = [str(network) for network in loaded.server.acl]
    table = f"[server]\nlisten = {json.dumps(listen)}\nacl = {json.dumps(acl)}\n"
    try:
        return config.parse(table, _OPTION).server.listen
    except ConfigError as failure:
        first, *_ = str(failure).splitlines()
        usage = click.UsageError(first.replace(f"{_OPTION}:2: server.listen", _OPTION, 1))
        usage.hint = failure.hint  # type: ignore[attr-defined]  # the command line shows it
        raise usage from failure


def _with_port(text: str, port: int) -> str:
    from secdns.endpoint import is_ip_literal

    bare = text.removeprefix("[").removesuffix("]")
    if not is_ip_literal(bare):
        return text
    return f"[{bare}]:{port}" if ":" in bare else f"{bare}:{port}"
