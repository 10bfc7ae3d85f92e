"""A system bus of the tests' own, with services on it that say what a test wants."""

import asyncio
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from dbus_fast import Message, MessageType, Variant
from dbus_fast.aio import MessageBus

from secdns.network.learning import NETWORK_MANAGER, RESOLVED
from tests.lab.programs import find

CONFIG = """\
<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>unix:path={socket}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/>
    <allow own="*"/>
    <allow send_type="method_call"/>
    <allow send_type="signal"/>
    <allow send_requested_reply="true" send_type="method_return"/>
    <allow send_requested_reply="true" send_type="error"/>
    <allow receive_type="method_call"/>
    <allow receive_type="method_return"/>
    <allow receive_type="error"/>
    <allow receive_type="signal"/>
  </policy>
</busconfig>
"""

Properties = dict[str, Variant]
INET, INET6 = 2, 10


@contextmanager
def system_bus(directory: Path) -> Iterator[str]:
    """Run a bus; give its address.

    Raises:
        MissingProgram: dbus-daemon is not installed.
    """
    socket = directory / "bus"
    config = directory / "bus.conf"
    config.write_text(CONFIG.format(socket=socket))
    argv = [find("dbus-daemon"), f"--config-file={config}", "--nofork", "--nopidfile", "--print-address=1"]
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as popen:
        try:
            assert popen.stdout is not None
            address = popen.stdout.readline().strip()
            assert address.startswith("unix:path="), "the bus did not start"
            yield address.partition(",")[0]
        finally:
            popen.kill()


class Service:
    """One that answers GetAll; ``properties`` of its object may be replaced at any time."""

    def __init__(self, bus: MessageBus, where: tuple[str, str, str], properties: Properties) -> None:
        self._bus = bus
        self._name, self._path, self._interface = where
        self.properties = properties
        self.others: dict[tuple[str, str], Properties] = {}  # (path, interface) -> properties
        self.asked = 0
        self.is_silent = False
        bus.add_message_handler(self._on_message)

    def tell(self, name: str, path: str | None = None) -> None:
        """Send the signal that a property changed, without its value."""
        body = [self._interface, {}, [name]]
        properties = "org.freedesktop.DBus.Properties"
        signal = Message.new_signal(path or self._path, properties, "PropertiesChanged", "sa{sv}as", body)
        self._bus.send(signal)

    def signal(self, where: tuple[str, str, str], signature: str, body: list[object]) -> None:
        """Send a signal: path, interface and member."""
        self._bus.send(Message.new_signal(*where, signature, body))

    def _on_message(self, message: Message) -> Message | bool | None:
        if message.message_type != MessageType.METHOD_CALL or message.member != "GetAll":
            return None
        properties = {(self._path, self._interface): self.properties} | self.others
        if (found := properties.get((message.path or "", message.body[0]))) is None:
            return None  # it has no such object
        self.asked += 1
        if self.is_silent:
            return True  # taken, and never answered
        return Message.new_method_return(message, "a{sv}", [found])


@asynccontextmanager
async def service(
    address: str, where: tuple[str, str, str], properties: Properties
) -> AsyncIterator[Service]:
    """Offer a service on the bus until the end."""
    bus = await MessageBus(bus_address=address).connect()
    made = Service(bus, where, properties)
    await bus.request_name(where[0])
    try:
        yield made
    finally:
        bus.disconnect()
        await until(lambda: not bus.connected)


def resolved(
    servers: list[tuple[int, str]], domains: list[tuple[int, str, bool]], *, with_ports: bool = False
) -> Properties:
    """Give what systemd-resolved says: (index of the link, address), (index, domain, only for routing)."""
    plain = [[index, INET6 if ":" in host else INET, octets_of(host)] for index, host in servers]
    found = {
        "DNS": Variant("a(iiay)", plain),
        "Domains": Variant("a(isb)", [list(domain) for domain in domains]),
        "LLMNRHostname": Variant("s", "laptop"),
    }
    if with_ports:
        found["DNSEx"] = Variant("a(iiayqs)", [[*server, 5353, "name.example"] for server in plain])
    return found


def network_manager(*entries: tuple[str, list[str], list[str], bool]) -> Properties:
    """Give what NetworkManager says: interface, nameservers, domains, whether it is a VPN."""
    rows = [
        {
            "interface": Variant("s", interface),
            "nameservers": Variant("as", servers),
            "domains": Variant("as", domains),
            "priority": Variant("i", 100),
            "vpn": Variant("b", is_vpn),
        }
        for interface, servers, domains, is_vpn in entries
    ]
    return {"Mode": Variant("s", "default"), "Configuration": Variant("aa{sv}", rows)}


def octets_of(host: str) -> bytes:
    from ipaddress import ip_address

    return ip_address(host).packed


async def until(predicate: Callable[[], bool], timeout_s: float = 8.0) -> None:
    """Wait until something holds; the bus and its services are other processes."""
    async with asyncio.timeout(timeout_s):
        while not predicate():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


__all__ = ["NETWORK_MANAGER", "RESOLVED", "network_manager", "resolved", "service", "system_bus", "until"]
