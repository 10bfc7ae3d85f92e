"""The icon on D-Bus, for panels of Linux and the like: StatusNotifierItem; and desktop notifications.

The panel has to know StatusNotifierItem: those of KDE Plasma, XFCE, LXQt, Cinnamon, MATE, Budgie and
Ubuntu's GNOME do, that of plain GNOME with the extension AppIndicator. Where none shows it, this waits
until one does.
"""

# No postponed annotations here: dbus-fast reads the D-Bus types from them.
import logging
from collections.abc import Callable
from typing import Annotated, Final

from dbus_fast import BusType, Message, MessageType, NameFlag, PropertyAccess, RequestNameReply, Variant
from dbus_fast.aio import MessageBus
from dbus_fast.annotations import DBusBool, DBusInt32, DBusObjectPath, DBusSignature, DBusStr
from dbus_fast.errors import DBusFastError
from dbus_fast.service import ServiceInterface, dbus_method, dbus_property, dbus_signal

from secdns.errors import ControlError
from secdns.tray import dbusmenu
from secdns.tray.icons import FOLDER, SIZES, icon_file, icon_name, pixmap
from secdns.tray.menu import Action, Item
from secdns.tray.texts import marked_up
from secdns.tray.view import Look

PATH: Final = "/StatusNotifierItem"
WATCHER: Final = "org.kde.StatusNotifierWatcher"
OWN_NAME: Final = "secdns.Tray"  # held so that no second icon appears
NOTIFICATIONS: Final = "org.freedesktop.Notifications"
NO_PANEL: Final = "no panel here shows such icons yet; waiting for one"
NO_PANEL_HINT: Final = "on GNOME, enable the extension AppIndicator; commands do all that the icon does"

_LOG = logging.getLogger(__name__)

Pixmaps = Annotated[list[tuple[int, int, bytes]], DBusSignature("a(iiay)")]
ToolTipType = Annotated[tuple[str, object, str, str], DBusSignature("(sa(iiay)ss)")]


class StatusNotifierItem(ServiceInterface):
    """The icon: how it looks, and what is said where the mouse rests on it."""

    def __init__(self) -> None:
        super().__init__("org.kde.StatusNotifierItem")
        self._look = Look.CHECKING
        self._title = ""

    def show(self, look: Look, title: str) -> None:
        """Look like this from now on."""
        if look is not self._look:
            was_wanting, self._look = self._status(), look
            self.NewIcon()
            self.NewAttentionIcon()
            if self._status() != was_wanting:
                self.NewStatus(self._status())
        if title != self._title:
            self._title = title
            self.NewTitle()
            self.NewToolTip()

    def _status(self) -> str:
        return "NeedsAttention" if self._look is Look.SIGN_IN else "Active"

    def _pixmaps(self) -> Pixmaps:
        return [[size, size, pixmap(self._look, size).argb] for size in SIZES]  # type: ignore[misc]

    @dbus_property(access=PropertyAccess.READ)
    def Category(self) -> DBusStr:
        return "SystemServices"

    @dbus_property(access=PropertyAccess.READ)
    def Id(self) -> DBusStr:
        return "secdns"

    @dbus_property(access=PropertyAccess.READ)
    def Title(self) -> DBusStr:
        return f"secdns: {self._title}"

    @dbus_property(access=PropertyAccess.READ)
    def Status(self) -> DBusStr:
        return self._status()

    @dbus_property(access=PropertyAccess.READ)
    def WindowId(self) -> DBusInt32:
        return 0

    @dbus_property(access=PropertyAccess.READ)
    def IconThemePath(self) -> DBusStr:
        return str(FOLDER)

    @dbus_property(access=PropertyAccess.READ)
    def IconName(self) -> DBusStr:
        return icon_name(self._look)

    @dbus_property(access=PropertyAccess.READ)
    def IconAccessibleDesc(self) -> DBusStr:
        return f"secdns: {self._title}"

    @dbus_property(access=PropertyAccess.READ)
    def IconPixmap(self) -> Pixmaps:
        return self._pixmaps()

    @dbus_property(access=PropertyAccess.READ)
    def OverlayIconName(self) -> DBusStr:
        return ""

    @dbus_property(access=PropertyAccess.READ)
    def OverlayIconPixmap(self) -> Pixmaps:
        return []

    @dbus_property(access=PropertyAccess.READ)
    def AttentionIconName(self) -> DBusStr:
        return icon_name(self._look)

    @dbus_property(access=PropertyAccess.READ)
    def AttentionIconPixmap(self) -> Pixmaps:
        return self._pixmaps()

    @dbus_property(access=PropertyAccess.READ)
    def AttentionAccessibleDesc(self) -> DBusStr:
        return f"secdns: {self._title}"

    @dbus_property(access=PropertyAccess.READ)
    def AttentionMovieName(self) -> DBusStr:
        return ""

    @dbus_property(access=PropertyAccess.READ)
    def ToolTip(self) -> ToolTipType:
        return ["", [], "secdns", marked_up(self._title)]  # type: ignore[return-value]

    @dbus_property(access=PropertyAccess.READ)
    def ItemIsMenu(self) -> DBusBool:
        return True

    @dbus_property(access=PropertyAccess.READ)
    def Menu(self) -> DBusObjectPath:
        return dbusmenu.PATH

    @dbus_method()
    def Activate(self, x: DBusInt32, y: DBusInt32) -> None:
        """Nothing: the panel opens the menu."""

    @dbus_method()
    def SecondaryActivate(self, x: DBusInt32, y: DBusInt32) -> None:
        """Nothing."""

    @dbus_method()
    def ContextMenu(self, x: DBusInt32, y: DBusInt32) -> None:
        """Nothing: the panel opens the menu."""

    @dbus_method()
    def Scroll(self, delta: DBusInt32, orientation: DBusStr) -> None:
        """Nothing."""

    @dbus_signal()
    def NewTitle(self) -> None:
        """There is another title."""

    @dbus_signal()
    def NewIcon(self) -> None:
        """There is another icon."""

    @dbus_signal()
    def NewAttentionIcon(self) -> None:
        """There is another icon for when attention is wanted."""

    @dbus_signal()
    def NewToolTip(self) -> None:
        """There is another text where the mouse rests."""

    @dbus_signal()
    def NewStatus(self, status: str) -> DBusStr:
        return status


class Desktop:
    """The icon with its menu in a desktop session, and notifications. Belongs to the event loop.

    ``say`` is called with words for whoever started the program, and what helps.
    """

    def __init__(self, click: Callable[[Action], None], say: Callable[[str, str], None]) -> None:
        self._say = say
        self._item = StatusNotifierItem()
        self._menu = dbusmenu.DBusMenu(click)
        self._bus: MessageBus

    async def open(self) -> None:
        """Connect, and appear where a panel is.

        Raises:
            ControlError: there is no session bus, or the icon is there already.
        """
        try:
            self._bus = await MessageBus(bus_type=BusType.SESSION).connect()
        except (DBusFastError, OSError, ValueError) as error:
            raise ControlError(
                f"no desktop session is to be found: {error}", hint="start it from within your desktop"
            ) from error
        reply = await self._bus.request_name(OWN_NAME, NameFlag.DO_NOT_QUEUE)
        if reply is not RequestNameReply.PRIMARY_OWNER:
            self._bus.disconnect()
            raise ControlError("the icon is there already", hint="it is in the panel of this desktop")
        self._bus.export(dbusmenu.PATH, self._menu)
        self._bus.export(PATH, self._item)
        self._bus.add_message_handler(self._on_message)
        rule = f"type='signal',sender='org.freedesktop.DBus',member='NameOwnerChanged',arg0='{WATCHER}'"
        await self._call("org.freedesktop.DBus", "/org/freedesktop/DBus", "AddMatch", "s", [rule])
        if not await self._register():
            self._say(NO_PANEL, NO_PANEL_HINT)

    def show(self, look: Look, title: str, items: tuple[Item, ...]) -> None:
        """Show this from now on."""
        self._item.show(look, title)
        self._menu.show(items)

    async def notify(self, look: Look, title: str, text: str) -> bool:
        """Tell a person something; False: nobody here shows notifications."""
        body = marked_up(text)  # whoever takes no markup shows &amp; as such, which harms nobody
        values = [
            "secdns", 0, icon_file(look).as_uri(), title, body, [], {"urgency": Variant("y", 1)}, -1
        ]  # fmt: skip
        path = "/" + NOTIFICATIONS.replace(".", "/")
        return await self._call(NOTIFICATIONS, path, "Notify", "susssasa{sv}i", values)

    async def wait_closed(self) -> None:
        """Wait until the session is over."""
        try:
            await self._bus.wait_for_disconnect()  # type: ignore[no-untyped-call]
        except (DBusFastError, OSError, EOFError) as error:
            _LOG.debug("the session bus is gone: %s", error)

    def close(self) -> None:
        """Take the icon away."""
        self._bus.disconnect()

    async def _register(self) -> bool:
        """Have the panel show the icon; tell whether there is one.

        By the connection's own name, which Qt gives as well: GNOME's extension drops items with another.
        """
        own = self._bus.unique_name
        return await self._call(
            WATCHER, "/StatusNotifierWatcher", "RegisterStatusNotifierItem", "s", [own], of=WATCHER
        )

    async def _call(
        self, name: str, path: str, member: str, signature: str, values: list[object], of: str = ""
    ) -> bool:
        message = Message(
            destination=name, path=path, interface=of or name, member=member, signature=signature, body=values
        )
        try:
            reply = await self._bus.call(message)
        except (DBusFastError, OSError, EOFError) as error:  # the session is ending
            _LOG.debug("%s.%s: %s", name, member, error)
            return False
        if reply is None or reply.message_type is not MessageType.METHOD_RETURN:
            _LOG.debug("%s.%s: %s", name, member, reply and reply.error_name)
            return False
        return True

    def _on_message(self, message: Message) -> None:
        """Appear in a panel that has just started."""
        if message.member == "NameOwnerChanged" and message.body[:1] == [WATCHER] and message.body[2]:
            own = self._bus.unique_name
            self._bus.send(
                Message(
                    destination=WATCHER,
                    path="/StatusNotifierWatcher",
                    interface=WATCHER,
                    member="RegisterStatusNotifierItem",
                    signature="s",
                    body=[own],
                )
            )
