"""Ask services on the system's D-Bus, and hear when what they know changes (Linux).

A machine without the bus, or without the service, costs a look at the file system; no service is
started for us. The library is loaded by the first bus that there is.
"""

import asyncio
import logging
import os
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from dbus_fast import Message
    from dbus_fast.aio import MessageBus

SOCKET: Final[str] = "/run/dbus/system_bus_socket"
CALL_S: Final = 2.0  # for one call; a service that hangs is one that is not there
MAX_DEPTH: Final = 8  # of what is inside of what; resolved and NetworkManager need four

_DBUS: Final = "org.freedesktop.DBus"
_LOGIND, _SLEEP = "org.freedesktop.login1", "PrepareForSleep"
_PROPERTIES: Final = "org.freedesktop.DBus.Properties"
_LOG = logging.getLogger(__name__)


class BusError(Exception):
    """The bus cannot be used."""


class Bus:
    """A connection to the system bus; it is opened by the first question and kept for signals.

    ``watched`` are pairs of a service and the object whose properties matter: ``heard`` is called when
    they change, and when the service comes or goes. ``resumed`` is called when systemd-logind says that the
    machine woke up. ``address`` is one of D-Bus's own.
    """

    def __init__(
        self,
        watched: Iterable[tuple[str, str]],
        heard: Callable[[], None],
        *,
        resumed: Callable[[], None],
        address: str = "",
    ) -> None:
        self._watched = tuple(watched)
        self._heard = heard
        self._resumed = resumed
        self._address = address or os.environ.get("DBUS_SYSTEM_BUS_ADDRESS", "") or f"unix:path={SOCKET}"
        self._bus: MessageBus | None = None
        self._end: asyncio.Task[None] | None = None
        self._has_complained = False

    async def properties(self, service: str, path: str, interface: str) -> Mapping[str, object] | None:
        """Give all properties of an interface; None if the bus or the service is not there."""
        try:
            async with asyncio.timeout(CALL_S):
                bus = await self._open()
                if bus is None:
                    return None
                body = await self._call(bus, service, path, _PROPERTIES, "GetAll", "s", [interface])
        except (BusError, OSError, EOFError, TimeoutError) as error:
            self._complain(error)
            return None
        found = _bare(body[0]) if body else None
        return found if isinstance(found, dict) else None

    async def aclose(self) -> None:
        """Close the connection; the next question opens another."""
        bus, self._bus = self._bus, None
        end, self._end = self._end, None
        if bus is not None:
            bus.disconnect()
        if end is not None:
            end.cancel()
            await asyncio.wait([end])

    async def _open(self) -> "MessageBus | None":
        if self._bus is not None and self._bus.connected:
            return self._bus
        await self.aclose()
        if not _may_be_there(self._address):
            return None
        library = await asyncio.to_thread(_load)  # 0.07 s that the event loop need not stand still for
        if library is None:
            return None
        bus = library(bus_address=self._address)
        try:
            await bus.connect()
        except Exception as error:  # what the library raises there is of many kinds
            raise BusError(f"cannot connect: {error or type(error).__name__}") from error
        self._end = asyncio.get_running_loop().create_task(self._wait_for_end(bus))
        try:
            bus.add_message_handler(self._on_message)
            for service, path in self._watched:
                await self._match(bus, f"sender='{service}',path='{path}',member='PropertiesChanged'")
                await self._match(bus, f"sender='{_DBUS}',member='NameOwnerChanged',arg0='{service}'")
            await self._match(bus, f"sender='{_LOGIND}',member='{_SLEEP}'")
        except BaseException:
            bus.disconnect()
            raise
        self._bus = bus
        return bus

    async def _wait_for_end(self, bus: "MessageBus") -> None:
        """Hear of a bus that ends by itself: what it told holds no longer."""
        try:
            await bus.wait_for_disconnect()  # type: ignore[no-untyped-call]  # it says no type
        except Exception as error:  # how the connection ended; there is nobody whom that helps
            _LOG.debug("the system bus is gone: %s", error or type(error).__name__)
        self._heard()

    async def _match(self, bus: "MessageBus", rule: str) -> None:
        rule = f"type='signal',{rule}"
        await self._call(bus, _DBUS, "/org/freedesktop/DBus", _DBUS, "AddMatch", "s", [rule])

    async def _call(
        self, bus: "MessageBus", service: str, path: str, interface: str, member: str, signature: str,
        body: list[object],
    ) -> list[object]:  # fmt: skip
        from dbus_fast import Message, MessageFlag, MessageType

        message = Message(
            destination=service,
            path=path,
            interface=interface,
            member=member,
            signature=signature,
            body=body,
            flags=MessageFlag.NO_AUTOSTART,
        )
        reply = await bus.call(message)
        if reply.message_type == MessageType.ERROR:
            if reply.error_name in _ABSENT:
                return []
            raise BusError(f"{member} of {service}: {reply.error_name}")
        return list(reply.body)

    def _on_message(self, message: "Message") -> None:
        if message.member in ("PropertiesChanged", "NameOwnerChanged"):
            self._heard()
        elif message.member == _SLEEP and message.body == [False]:
            self._resumed()

    def _complain(self, error: Exception) -> None:
        """Say once what is wrong with the bus."""
        if not self._has_complained:
            self._has_complained = True
            _LOG.warning("the system bus does not tell about links: %s", error or type(error).__name__)


_ABSENT = frozenset(
    f"org.freedesktop.DBus.Error.{name}"
    for name in (
        "ServiceUnknown",
        "NameHasNoOwner",
        "UnknownInterface",
        "UnknownMethod",
        "UnknownObject",
    )
)


def _may_be_there(address: str) -> bool:
    kind, _, rest = address.partition("unix:path=")
    return bool(kind) or os.path.exists(rest.partition(",")[0].partition(";")[0])


def _load() -> "type[MessageBus] | None":
    try:
        from dbus_fast.aio import MessageBus
    except ImportError:
        return None
    return MessageBus


def _bare(value: object, depth: int = 0) -> object:
    """Give a value without the wrappers of variants, as lists and dictionaries; too deep is None."""
    if depth > MAX_DEPTH:
        return None
    inner = getattr(value, "value", value) if type(value).__name__ == "Variant" else value
    if isinstance(inner, dict):
        return {key: _bare(each, depth + 1) for key, each in inner.items()}
    if isinstance(inner, list | tuple):
        return [_bare(each, depth + 1) for each in inner]
    return inner
