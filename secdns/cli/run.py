"""`secdns run`: the daemon, in the foreground."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

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

    Without --config the first of the files is read that `secdns run` knows (see secdns(1)), and
    without any file the defaults hold. SIGHUP reads the file again. Ports below 1024 need root or a
    service manager; to try it as yourself: secdns run --port 5353
    """
    from secdns import config, daemon, paths

    path = Path(config_file) if config_file else paths.find_config_file()
    loaded = config.load(path)
    if listen:
        addresses = listen_addresses(listen, port or 53, loaded)
        loaded = replace(loaded, server=replace(loaded.server, listen=addresses))
    return daemon.run(loaded, config_path=path, port=port)


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
        raise click.UsageError(first.replace(f"{_OPTION}:2: server.listen", _OPTION, 1)) from failure


def _with_port(text: str, port: int) -> str:
    from secdns.endpoint import is_ip_literal

    bare = text.removeprefix("[").removesuffix("]")
    if not is_ip_literal(bare):
        return text
    return f"[{bare}]:{port}" if ":" in bare else f"{bare}:{port}"
