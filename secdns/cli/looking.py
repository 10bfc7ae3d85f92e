"""Look at this machine for `secdns check`: everything at once, and nothing for longer than a few seconds.

What can hang (the C library's look-up, D-Bus, a silent upstream) has a thread of its own, which is left
behind when time is up; no such thread keeps the program from ending.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

from secdns import config as configuration
from secdns import endpoint, paths
from secdns.cli.asking import ask, ask_one
from secdns.cli.health import Listening, Looks, Reply
from secdns.config import Config, ListenAddress
from secdns.control.client import Client
from secdns.control.schema import Status as DaemonStatus
from secdns.dns.message import Question
from secdns.errors import ConfigError, ControlError, NotInForceError, SettingsError, TransportError
from secdns.iana import RRType
from secdns.listener import is_loopback
from secdns.listener.holder import Holder, find_holder, find_holders
from secdns.osdns import proof, rivals
from secdns.osdns.machine import Machine, Ran, run_program
from secdns.osdns.plan import DNS_PORT, Server
from secdns.osdns.status import look

PATIENCE_S: Final = 4.0  # for all of it; with starting and printing the command ends within 5 s
DIRECT_S: Final = 1.5  # for the daemon on loopback to say that it is there
MESSAGES_S: Final = 2.0  # for the journal, which may be large
MESSAGES: Final = 80
SERVICES: Final = ("secdns", "secdns-system", "secdns-overruled", "secdns-overruled-again", "secdns-restore")
MARGIN_S: Final = 0.2  # that what has a deadline of its own ends before it is left behind


@dataclass(frozen=True, slots=True)
class Names:
    """What is asked for, in wire form: a name that is signed, and one that is signed wrongly."""

    good: bytes
    bogus: bytes


def machine_with(deadline: float) -> Machine:
    """Give this machine; commands that are run on it end before ``deadline`` (``time.monotonic``)."""

    def run(argv: Sequence[str], stdin: str) -> Ran:
        return run_program(argv, stdin, timeout_s=max(deadline - time.monotonic(), 0.05))

    return Machine(runner=run)


def look_around(
    config_file: str | None,
    names: Names,
    *,
    platform: str,
    machine: Callable[[float], Machine] = machine_with,
    patience_s: float = PATIENCE_S,
    socket: str | None = None,
) -> Looks:
    """See everything that ``health`` judges, within ``patience_s`` seconds.

    ``socket`` is the local API of the daemon that is meant: it says where it listens and what it has read.
    """
    deadline = time.monotonic() + patience_s
    meant = None if socket is None else _status_at(Path(socket))
    if meant is not None and config_file is None and Path(meant.configuration).is_file():
        config_file = meant.configuration
    config, config_error = machines_config(config_file)
    in_force = config or configuration.default()
    addresses = listen_addresses(in_force) if meant is None else said_addresses(meant.listen)
    here = machine(deadline - MARGIN_S)
    sockets = paths.control_sockets() if socket is None else (Path(socket),)
    nonce = proof.fresh_name()
    looks = Looks(config=config, config_error=config_error)

    def other_resolvers() -> None:
        looks.rivals = rivals.find(here, {address.host for address in addresses})
        looks.domains = rivals.domains(here)

    def holders() -> None:
        looks.holders = find_holders(DNS_PORT)

    at_once(
        (
            partial(_daemon, looks, addresses, sockets, nonce, names, deadline - MARGIN_S),
            partial(_status, looks, here, platform),
            partial(_upstream, looks, names.good, deadline - MARGIN_S),
            other_resolvers,
            holders,
        ),
        deadline,
    )
    return replace(looks, now=time.time())  # a copy: those left behind may still find something


def recent_messages(patience_s: float = MESSAGES_S) -> list[str] | None:
    """Give the last messages of the services, the oldest first; None if they cannot be read."""
    units = (f"--unit={name}.service" for name in SERVICES)
    options = (f"--lines={MESSAGES}", "--output=cat", "--no-pager", "--quiet")
    printed = machine_with(time.monotonic() + patience_s).run("journalctl", *units, *options)
    return None if printed is None else printed.splitlines()[-MESSAGES:]


def machines_config(config_file: str | None) -> tuple[Config | None, ConfigError | None]:
    """Give the configuration of this machine's daemon, or why it cannot be used.

    Not a person's own: the daemon of the machine does not read that.
    """
    path = Path(config_file) if config_file else paths.system_config_file()
    try:
        there = config_file is not None or path.exists()
        return (configuration.load(path) if there else configuration.default()), None
    except (ConfigError, PermissionError) as error:
        if isinstance(error, ConfigError):
            return None, error
        return None, ConfigError(f"{path}: {error.strerror}", hint="sudo secdns check may read it")


def listen_addresses(config: Config) -> tuple[ListenAddress, ...]:
    """Give where this machine's programs reach the daemon: its loopback addresses if it has any."""
    listen = config.server.listen
    return tuple(each for each in listen if is_loopback(each.host)) or tuple(listen)


def said_addresses(listen: Sequence[str]) -> tuple[ListenAddress, ...]:
    """Read the addresses that a daemon says it listens at; those of loopback if it has any."""
    found = []
    for text in listen:
        host, _, port = text.rpartition(":")
        if port.isdecimal():
            found.append(ListenAddress(host.strip("[]"), int(port), is_default=False))
    return tuple(each for each in found if is_loopback(each.host)) or tuple(found)


def at_once(jobs: Sequence[Callable[[], None]], deadline: float) -> None:
    """Do all jobs, each in a thread, and return when they have ended, at ``deadline`` at the latest.

    An exception of a job is raised here: jobs catch what they expect.
    """
    broken: list[Exception] = []

    def do(job: Callable[[], None]) -> None:
        try:
            job()
        except Exception as error:
            broken.append(error)

    threads = [threading.Thread(target=do, args=(job,), daemon=True) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(deadline - time.monotonic(), 0))
    if broken:
        raise broken[0]


# the jobs


def _status(looks: Looks, machine: Machine, platform: str) -> None:
    try:
        looks.status = look(
            machine, platform, lambda server: proof.ask(server, proof.fresh_name(), timeout_s=DIRECT_S)
        )
    except SettingsError as error:
        looks.status = error


def _daemon(
    looks: Looks,
    addresses: Sequence[ListenAddress],
    sockets: Sequence[Path],
    nonce: str,
    names: Names,
    deadline: float,
) -> None:
    """See whether the daemon is there; then put questions to it, and have the system look the nonce up.

    Where no daemon is nothing is looked up: another resolver would hear of it, and nobody learn from it.
    """
    listening: dict[ListenAddress, Listening] = {}

    def see(address: ListenAddress) -> None:
        listening[address] = _listening(address, nonce)

    at_once([partial(see, address) for address in addresses], deadline)
    looks.listening = [listening[address] for address in addresses if address in listening]
    there = next((each.server for each in looks.listening if each.address is not None), None)

    def look_up() -> None:
        looks.found = proof.look_up(nonce, deadline - time.monotonic())

    def questions() -> None:
        if there is not None:
            asyncio.run(_questions(looks, there, names, deadline - MARGIN_S))
        # last: then it knows what it asks in which way
        looks.daemon = _control(sockets, {str(address) for address in addresses})

    at_once((questions, look_up) if there is not None else (questions,), deadline)


def _control(sockets: Sequence[Path], listen: set[str]) -> DaemonStatus | None:
    """Ask the daemon that listens at one of these addresses; another one of this user is not meant."""
    for path in sockets:
        status = _status_at(path)
        if status is not None and not listen.isdisjoint(status.listen):
            return status
    return None


def _status_at(path: Path) -> DaemonStatus | None:
    try:
        return Client([path], timeout_s=DIRECT_S).status()
    except ControlError:
        return None


def _listening(address: ListenAddress, nonce: str) -> Listening:
    server = Server(address.host, address.port)
    try:
        found = proof.ask(server, nonce, timeout_s=DIRECT_S)
    except NotInForceError as error:
        holder = _holder(server)
        return Listening(server, error=error, holder=holder, is_default=address.is_default)
    return Listening(server, found, is_default=address.is_default)


def _holder(server: Server) -> Holder | None:
    return find_holder("udp", server.host, server.port) or find_holder("tcp", server.host, server.port)


async def _questions(looks: Looks, server: Server, names: Names, deadline: float) -> None:
    """Ask the daemon as a program does, for all three at once."""
    host = f"[{server.host}]" if ":" in server.host else server.host
    daemon = endpoint.parse(f"udp://{host}:{server.port}")
    ends_at = asyncio.get_running_loop().time() + deadline - time.monotonic()

    async def one(name: bytes, rrtype: int, *, cd: bool = False) -> Reply:
        try:
            return await ask_one(Question(name, rrtype), daemon, deadline=ends_at, dnssec=True, cd=cd)
        except TransportError as error:
            return error

    looks.good, looks.unchecked, looks.bogus = await asyncio.gather(
        one(names.good, RRType.SOA), one(names.good, RRType.SOA, cd=True), one(names.bogus, RRType.A)
    )


def _upstream(looks: Looks, name: bytes, deadline: float) -> None:
    """Ask the upstreams in the order of the configuration, until one answers; none if it cannot be used."""
    config = looks.config
    if config is None:
        return
    candidates = [(upstream.name, each) for upstream in config.upstreams for each in upstream.endpoints]
    endpoints = [each for _, each in candidates]
    patience_s = max(deadline - time.monotonic(), 0.1)
    try:
        answer = asyncio.run(ask(Question(name, RRType.SOA), endpoints, dnssec=False, timeout_s=patience_s))
    except TransportError as error:
        looks.upstream = error
        return
    looks.upstream_name = next(called for called, each in candidates if each == answer.endpoint)
    looks.upstream = answer
