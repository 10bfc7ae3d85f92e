"""`secdns upstreams`: the built-in upstreams, so that a person can choose.

`SUBCOMMANDS` lists what else there is to do with upstreams; each has a module of its own.
"""

from typing import TYPE_CHECKING

import click

from secdns.cli import terminal
from secdns.cli.lazy import LazyGroup
from secdns.errors import ConfigError

if TYPE_CHECKING:  # loaded when the command runs
    from secdns.config import UpstreamConfig
    from secdns.providers import Provider

#: name: (module, one line of help)
SUBCOMMANDS: dict[str, tuple[str, str]] = {
    "test": ("secdns.cli.upstreams_test", "Test each way to reach an upstream."),
    "discover": ("secdns.cli.discover", "Find the encrypted side of a plain resolver, and check it."),
}

EPILOG = """\b
filtering   what the upstream refuses to resolve: none, malware, ads or family
logging     what its operator says it keeps: none, anonymised, yes or unknown
transports  doh, dot, doh3, doq: what transport can say of this upstream

\b
To use one, write into the configuration (secdns config init makes one):
  [[upstream]]
  name = "quad9"
or ask it once: secdns query example.com @quad9
"""


@click.group(cls=LazyGroup, modules=SUBCOMMANDS, invoke_without_command=True, epilog=EPILOG)
@click.option("--config", "config_file", metavar="FILE", help="Mark what this configuration uses.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array, see secdns(1).")
@click.pass_context
def upstreams(ctx: click.Context, config_file: str | None, as_json: bool) -> int | None:
    """List the built-in upstreams: who runs them, what they filter and what they keep."""
    if ctx.invoked_subcommand is None:
        return _list(config_file, as_json)
    if config_file is not None or as_json:
        raise click.UsageError(f"options of {ctx.invoked_subcommand} belong after its name", ctx)
    return None


def _list(config_file: str | None, as_json: bool) -> int:
    from secdns import providers

    used = _used(config_file)
    known = providers.PROVIDERS()
    in_use = {upstream.name for upstream in used if upstream.name in known}
    if as_json:
        terminal.out_json([_object(p, p.id in in_use, p.id in providers.DEFAULT) for p in known.values()])
        return 0
    columns = ("", "name", "operator", "country", "filtering", "logging", "dnssec", "transports")
    terminal.table(columns, [_row(p, p.id in in_use) for p in known.values()], whole=(0, 1))
    terminal.out()
    terminal.out("* is in use." if in_use else "None of these is in use.")
    for upstream in used:
        if upstream.name not in in_use:
            urls = ", ".join(e.url for e in upstream.endpoints)
            terminal.out(f"The configuration also has {upstream.name}: {urls}")
    return 0


def _used(config_file: str | None) -> tuple["UpstreamConfig", ...]:
    """Give the upstreams in use; a broken file that nobody named must not hide the list."""
    from secdns.cli.asking import load_config

    try:
        return load_config(config_file).upstreams
    except ConfigError as failure:
        if config_file is not None:
            raise
        terminal.explain(failure, goes_on=True)
        return ()


def _row(provider: "Provider", in_use: bool) -> tuple[str, ...]:
    return (
        "*" if in_use else "",
        provider.id,
        provider.operator,
        provider.country,
        provider.filtering,
        provider.logging,
        {True: "yes", False: "no", None: "unknown"}[provider.dnssec],
        " ".join(provider.transports),
    )


def _object(provider: "Provider", in_use: bool, is_default: bool) -> dict[str, object]:
    return {
        "name": provider.id,
        "title": provider.name,
        "operator": provider.operator,
        "country": provider.country,
        "homepage": provider.homepage,
        "filtering": provider.filtering,
        "logging": provider.logging,
        "dnssec": provider.dnssec,
        "client_subnet": provider.ecs,
        "transports": {name: provider.endpoints[name].url for name in provider.transports},
        "addresses": list(provider.addresses),
        "in_use": in_use,
        "default": is_default,
    }
