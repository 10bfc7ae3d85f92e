"""Run the daemon in the foreground: signals, readiness, and what is said at the start."""

import asyncio
import contextlib
import gc
import logging
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from secdns.config import Config, default
from secdns.daemon import Daemon
from secdns.network import portal
from secdns.network.learning import Learner
from secdns.paths import control_socket, state_dir
from secdns.systemd import ServiceManager, take_sockets

if TYPE_CHECKING:  # loaded when somebody asks
    from secdns.osdns.machine import Machine

STALL_S = 0.05  # a callback of the event loop that takes longer is logged (F33)
DNS_PORT = 53

_LOG = logging.getLogger(__name__)


async def serve(
    daemon: Daemon,
    *,
    control: Path | None = None,
    ready: Callable[[Daemon], Awaitable[None] | None] | None = None,
) -> None:
    """Listen, say so, and serve until SIGTERM or SIGINT; SIGHUP reloads.

    ``control`` is where the local API is to be, None for nowhere. ``ready`` is called when queries
    are answered. A service manager is told so as well, and hears of the event loop as long as it turns;
    sockets that it opened are taken.

    Raises:
        ListenError: an address cannot be opened.
    """
    loop = asyncio.get_running_loop()
    loop.slow_callback_duration = STALL_S
    stop = asyncio.Event()
    reloads: set[asyncio.Task[None]] = set()

    def reload() -> None:
        task = loop.create_task(daemon.reload())
        reloads.add(task)
        task.add_done_callback(reloaded)

    def reloaded(task: asyncio.Task[None]) -> None:
        reloads.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _LOG.error("the old configuration stays in force", exc_info=error)

    await daemon.learn()
    daemon.listen(take_sockets())
    manager = ServiceManager()
    try:
        if control is not None:
            daemon.open_control(control)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        loop.add_signal_handler(signal.SIGHUP, reload)
        for bound in daemon.bound:
            _say(f"listening on {bound}")
        _freeze_garbage()
        if ready is not None and (waiting := ready(daemon)) is not None:
            await waiting
        manager.ready(_status(daemon))
        await stop.wait()
        _LOG.info("stopping")
    finally:
        manager.stopping()
        for task in reloads:
            task.cancel()
        await asyncio.gather(*reloads, return_exceptions=True)
        await daemon.stop()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.remove_signal_handler(number)
        manager.close()


def run(config: Config, *, reread: Callable[[], Config] | None = None, check: Sequence[str] = ()) -> int:
    """Run the daemon in the foreground until it is told to stop; give the exit code.

    ``reread`` and ``check`` as for ``Daemon``.

    Raises:
        Error: the start failed; nothing is left open.
    """
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="secdns: %(message)s")

    async def main() -> None:
        learner = partial(Learner, saved=_saved)
        daemon = Daemon(
            config,
            reread=reread,
            state_dir=state_dir(),
            learner=learner,
            look=portal.look,
            machine=_this_machine,
            check=check,
        )
        await serve(daemon, control=control_socket(), ready=_introduce)

    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main())
    return 0


def _saved() -> tuple[Sequence[str], Sequence[str]]:
    """Give the servers and the search list of before the system was pointed at us."""
    from secdns.osdns.original import original  # only where nobody else knows them

    return original()


def _this_machine() -> "Machine":
    from secdns.osdns.machine import Machine

    return Machine()


def _introduce(daemon: Daemon) -> None:
    """Say who is asked and by whose word, and to a person how to try it."""
    config = daemon.config
    names = _upstreams(daemon)
    where = "none, the defaults hold" if config.source == default().source else config.source
    _say(f"upstreams: {names} (configuration: {where})")
    if sys.stderr.isatty():
        first = daemon.bound[0]
        port = "" if first.port == DNS_PORT else f"-p {first.port} "
        _say(f"try it: dig @{first.host} {port}example.com")


def _status(daemon: Daemon) -> str:
    """Give the line that `systemctl status` shows."""
    return f"answering at {', '.join(map(str, daemon.bound))}; asking {_upstreams(daemon)}"


def _upstreams(daemon: Daemon) -> str:
    return ", then ".join(upstream.name for upstream in daemon.config.upstreams)


def _say(text: str) -> None:
    print(f"secdns: {text}", file=sys.stderr, flush=True)


def _freeze_garbage() -> None:
    """Spare the collector what lives long: its pauses would be ours.

    Nothing of ours that is made per query is part of a cycle, so counting references frees it.
    The collector is left for the cycles that exceptions and libraries make, and looks seldom.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
