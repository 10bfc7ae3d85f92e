"""A panel without a screen: shows the icon's properties and menu as values, and clicks.

No postponed annotations here: dbus-fast reads the D-Bus types from them.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Annotated, Any

from dbus_fast import BusType, Message, MessageType, Variant
from dbus_fast.aio import MessageBus
from dbus_fast.annotations import DBusSignature, DBusStr, DBusUInt32
from dbus_fast.service import ServiceInterface, dbus_method

WAIT_S = 15.0  # for something that takes milliseconds; machines are busy


class Watcher(ServiceInterface):
    """Takes registrations."""

    def __init__(self, on_item: Callable[[str], None]) -> None:
        super().__init__("org.kde.StatusNotifierWatcher")
        self._on_item = on_item

    @dbus_method()
    def RegisterStatusNotifierItem(self, name: DBusStr) -> None:
        self._on_item(name)


class Notifications(ServiceInterface):
    """Takes notifications."""

    def __init__(self, on_note: Callable[[str, str], None]) -> None:
        super().__init__("org.freedesktop.Notifications")
        self._on_note = on_note

    @dbus_method()
    def Notify(
        self,
        program: DBusStr,
        replaces: DBusUInt32,
        icon: DBusStr,
        title: DBusStr,
        body: DBusStr,
        actions: Annotated[list[str], DBusSignature("as")],
        hints: Annotated[dict[str, Variant], DBusSignature("a{sv}")],
        expires: Annotated[int, DBusSignature("i")],
    ) -> DBusUInt32:
        self._on_note(title, body)
        return 1


class Panel:
    """What the icon shows. ``signals`` are the names of those that it sent, ``updates`` what came with
    those of properties of items.
    """

    def __init__(self, bus: MessageBus) -> None:
        self.bus = bus
        self.item = ""
        self.registered: list[str] = []
        self.notes: list[tuple[str, str]] = []
        self.signals: list[str] = []
        self.updates: list[list[Any]] = []
        self._changed = asyncio.Event()

    def on_item(self, name: str) -> None:
        self.item = name
        self.registered.append(name)
        self._changed.set()

    def on_note(self, title: str, body: str) -> None:
        self.notes.append((title, body))
        self._changed.set()

    def on_message(self, message: Message) -> None:
        if message.message_type is MessageType.SIGNAL and message.sender == self.item:
            self.signals.append(str(message.member))
            if message.member == "ItemsPropertiesUpdated":
                self.updates.append(message.body)
            self._changed.set()

    async def call(
        self, path: str, interface: str, member: str, signature: str = "", *values: Any
    ) -> list[Any]:
        reply = await self.bus.call(
            Message(
                destination=self.item, path=path, interface=interface, member=member,
                signature=signature, body=list(values),
            )
        )  # fmt: skip
        assert reply is not None
        assert reply.message_type is MessageType.METHOD_RETURN, reply.body
        return reply.body

    async def get(self, name: str) -> Any:
        """Give a property of the icon."""
        item = "org.kde.StatusNotifierItem"
        (value,) = await self.call(
            "/StatusNotifierItem", "org.freedesktop.DBus.Properties", "Get", "ss", item, name
        )
        return value.value

    async def menu(self, method: str, signature: str, *values: Any) -> list[Any]:
        return await self.call("/MenuBar", "com.canonical.dbusmenu", method, signature, *values)

    async def items(self) -> dict[str, tuple[int, dict[str, Any]]]:
        """Give all items of the menu: label -> number, properties."""
        _, layout = await self.menu("GetLayout", "iias", 0, -1, [])
        found = {}

        def walk(node: Any) -> None:
            number, properties, children = node
            values = {name: value.value for name, value in properties.items()}
            found[values.get("label", f"-{number}")] = (number, values)
            for child in children:
                walk(child.value)

        walk(layout)
        return found

    async def click(self, label: str) -> None:
        number, _ = (await self.items())[label]
        await self.menu("Event", "isvu", number, "clicked", Variant("i", 0), 0)

    async def until(self, is_so: Callable[[], Any]) -> None:
        """Wait until ``is_so``, a plain or an asynchronous question, after each thing that happens."""
        async with asyncio.timeout(WAIT_S):
            while True:
                self._changed.clear()
                answer = is_so()
                if await answer if asyncio.iscoroutine(answer) else answer:
                    return
                await self._changed.wait()

    async def shows(self, look: str) -> None:
        """Wait until the icon looks like this."""

        async def is_so() -> bool:
            return bool(self.item) and await self.get("IconName") == f"secdns-{look}"

        await self.until(is_so)


@asynccontextmanager
async def panel(address: str, *, shows_icons: bool = True) -> AsyncIterator[Panel]:
    """Have a panel, and a place for notifications, in the session."""
    bus = await MessageBus(address, bus_type=BusType.SESSION).connect()
    made = Panel(bus)
    bus.export("/StatusNotifierWatcher", Watcher(made.on_item))
    bus.export("/org/freedesktop/Notifications", Notifications(made.on_note))
    bus.add_message_handler(made.on_message)
    for interface in ("org.kde.StatusNotifierItem", "com.canonical.dbusmenu"):
        await bus.call(
            Message(
                destination="org.freedesktop.DBus", path="/org/freedesktop/DBus",
                interface="org.freedesktop.DBus", member="AddMatch", signature="s",
                body=[f"type='signal',interface='{interface}'"],
            )
        )  # fmt: skip
    await bus.request_name("org.freedesktop.Notifications")
    if shows_icons:
        await bus.request_name("org.kde.StatusNotifierWatcher")
    try:
        yield made
    finally:
        bus.disconnect()
        await bus.wait_for_disconnect()  # type: ignore[no-untyped-call]
