"""The menu on D-Bus: the interface com.canonical.dbusmenu, version 3.

The panel draws the menu; it asks for the layout and tells of clicks. The number of an item is never that of
another: a click on a menu that has changed meanwhile means what was drawn.
"""

# No postponed annotations here: dbus-fast reads the D-Bus types from them.
from collections.abc import Callable
from typing import Annotated, Final

from dbus_fast import DBusError, PropertyAccess, Variant
from dbus_fast.annotations import DBusBool, DBusInt32, DBusSignature, DBusStr, DBusUInt32, DBusVariant
from dbus_fast.service import ServiceInterface, dbus_method, dbus_property, dbus_signal

from secdns.tray.icons import FOLDER
from secdns.tray.menu import Action, Item, Kind, flat
from secdns.tray.texts import underscored

PATH: Final = "/MenuBar"
ROOT: Final = 0
MAX_IDS: Final = 1000  # that are remembered of menus that are not shown any more

Properties = dict[str, Variant]
Layout = tuple[int, Properties, list[Variant]]

Ids = Annotated[list[int], DBusSignature("ai")]
Strings = Annotated[list[str], DBusSignature("as")]
PropertiesOfItems = Annotated[list[tuple[int, Properties]], DBusSignature("a(ia{sv})")]
RemovedOfItems = Annotated[list[tuple[int, list[str]]], DBusSignature("a(ias)")]
Events = Annotated[list[tuple[int, str, Variant, int]], DBusSignature("a(isvu)")]


class DBusMenu(ServiceInterface):
    """Shows ``items`` and calls ``click`` with what a person chose. Belongs to the event loop."""

    def __init__(self, click: Callable[[Action], None]) -> None:
        super().__init__("com.canonical.dbusmenu")
        self._click = click
        self._items: tuple[Item, ...] = ()
        self._revision = 1
        self._ids: dict[str, int] = {}
        self._keys: dict[int, str] = {}  # of every number that may still be clicked, the oldest first
        self._last_id = ROOT

    def show(self, items: tuple[Item, ...]) -> None:
        """Show these from now on; where only words have changed, a menu that is open stays open."""
        if items == self._items:
            return
        before = {self._id(item): item for item in flat(self._items)}
        is_same = _skeleton(items) == _skeleton(self._items)
        self._items = items
        if is_same:
            changed = [
                (self._id(item), _changes(before[self._id(item)], item))
                for item in flat(items)
                if item != before[self._id(item)]
            ]
            self.ItemsPropertiesUpdated([each for each in changed if each[1]])
        else:
            # All under new numbers: GNOME's extension goes on to show the words that it has of an old one,
            # and puts items that come between such ones in another order.
            self._ids.clear()
            for number in list(self._keys)[:-MAX_IDS]:
                del self._keys[number]
            self._revision += 1
            self.LayoutUpdated(self._revision)

    def click(self, number: int) -> bool:
        """Do what the item of this number stands for; tell whether there is one that can be clicked."""
        key = self._keys.get(number)
        for item in flat(self._items):
            if item.key == key:
                if item.action is None or not item.can_be_clicked:
                    return False
                self._click(item.action)
                return True
        return False

    def _id(self, item: Item) -> int:
        number = self._ids.get(item.key)
        if number is None:
            self._last_id += 1
            number = self._ids[item.key] = self._last_id
            self._keys[number] = item.key
        return number

    def _find(self, number: int) -> tuple[Properties, tuple[Item, ...]]:
        if number == ROOT:
            return {"children-display": Variant("s", "submenu")}, self._items
        for item in flat(self._items):
            if self._id(item) == number:
                return properties(item), item.items
        raise DBusError("com.canonical.dbusmenu.Error", f"there is no item {number}")

    def _layout(self, number: int, depth: int, names: list[str]) -> Layout:
        """Give an item with what is below it, down to ``depth``; -1: all."""
        own, below = self._find(number)
        children: list[Variant] = []
        if depth != 0:
            children = [
                Variant("(ia{sv}av)", list(self._layout(self._id(item), depth - 1, names))) for item in below
            ]
        return number, _only(own, names), children

    # the interface

    @dbus_property(access=PropertyAccess.READ)
    def Version(self) -> DBusUInt32:
        return 3

    @dbus_property(access=PropertyAccess.READ)
    def TextDirection(self) -> DBusStr:
        return "ltr"

    @dbus_property(access=PropertyAccess.READ)
    def Status(self) -> DBusStr:
        return "normal"

    @dbus_property(access=PropertyAccess.READ)
    def IconThemePath(self) -> Strings:
        return [str(FOLDER)]

    @dbus_method()
    def GetLayout(
        self, parent: DBusInt32, depth: DBusInt32, names: Strings
    ) -> Annotated[tuple[int, Layout], DBusSignature("u(ia{sv}av)")]:
        return self._revision, list(self._layout(parent, depth, names))  # type: ignore[return-value]

    @dbus_method()
    def GetGroupProperties(self, ids: Ids, names: Strings) -> PropertiesOfItems:
        known = [ROOT, *(self._id(item) for item in flat(self._items))]
        wanted = set(ids or known)
        return [
            [number, _only(self._find(number)[0], names)]  # type: ignore[misc]
            for number in known
            if number in wanted
        ]

    @dbus_method()
    def GetProperty(self, number: DBusInt32, name: DBusStr) -> DBusVariant:
        own, _ = self._find(number)
        if name not in own:
            raise DBusError("com.canonical.dbusmenu.Error", f"item {number} has no property of that name")
        return own[name]

    @dbus_method()
    def Event(self, number: DBusInt32, event: DBusStr, data: DBusVariant, timestamp: DBusUInt32) -> None:
        if event == "clicked":
            self.click(number)

    @dbus_method()
    def EventGroup(self, events: Events) -> Ids:
        known = {self._id(item) for item in flat(self._items)} | {ROOT}
        for number, event, _, _ in events:
            if event == "clicked":
                self.click(number)
        return [number for number, *_ in events if number not in known]

    @dbus_method()
    def AboutToShow(self, number: DBusInt32) -> DBusBool:
        return False

    @dbus_method()
    def AboutToShowGroup(self, ids: Ids) -> Annotated[tuple[list[int], list[int]], DBusSignature("aiai")]:
        known = {self._id(item) for item in flat(self._items)} | {ROOT}
        return [], [number for number in ids if number not in known]

    @dbus_signal()
    def ItemsPropertiesUpdated(
        self, changed: list[tuple[int, Properties]]
    ) -> Annotated[tuple[object, object], DBusSignature("a(ia{sv})a(ias)")]:
        return [list(each) for each in changed], []

    @dbus_signal()
    def LayoutUpdated(self, revision: int) -> Annotated[tuple[int, int], DBusSignature("ui")]:
        return revision, ROOT


def properties(item: Item) -> Properties:
    """Give what the panel draws; of one item always the same keys, so that no change takes one away."""
    if item.kind is Kind.SEPARATOR:
        return {"type": Variant("s", "separator")}
    drawn = {
        "label": Variant("s", underscored(item.label)),
        "enabled": Variant("b", item.can_be_clicked),
        "visible": Variant("b", True),
    }
    if item.kind is Kind.RADIO:
        drawn["toggle-type"] = Variant("s", "radio")
        drawn["toggle-state"] = Variant("i", int(item.is_on))
    if item.items:
        drawn["children-display"] = Variant("s", "submenu")
    return drawn


def _changes(before: Item, after: Item) -> Properties:
    """Give the properties that are not as they were; Qt complains of others."""
    old = properties(before)
    return {name: value for name, value in properties(after).items() if value != old[name]}


def _only(given: Properties, names: list[str]) -> Properties:
    """Give the properties that were asked for; no names: all."""
    return {name: value for name, value in given.items() if not names or name in names}


def _skeleton(items: tuple[Item, ...]) -> list[tuple[str, Kind, list[object]]]:
    """Give what cannot change without the menu being drawn anew."""
    return [(item.key, item.kind, list(_skeleton(item.items))) for item in items]
