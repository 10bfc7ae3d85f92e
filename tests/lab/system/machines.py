"""Five machines to turn secdns on at, each with a network, a resolver in it, and an upstream.

    resolved         NetworkManager, and systemd-resolved in charge of DNS: Debian's and Ubuntu's desktop
    networkmanager   NetworkManager alone, which writes resolv.conf
    plain            neither; resolv.conf is a file that somebody wrote
    openresolv       resolvconf puts resolv.conf together, here Roy Marples's
    resolvconf       the same, by Debian's own program

The network is a namespace inside the machine with dnsmasq in it, the machine's own resolver. It says
10.9.0.66 where the upstream says 192.0.2.1, so an address tells who was asked.
"""

import json
import time
from pathlib import Path

from tests.lab.booted import Guest, add_file, add_link, add_secdns, hide
from tests.lab.debs import unpack

KINDS = ("resolved", "networkmanager", "plain")
RESOLVCONFS = ("openresolv", "resolvconf")
NAME = "www.example.test"
BY_UPSTREAM, BY_NETWORK = "192.0.2.1", "10.9.0.66"
PRINTER, BY_PRINTER = "printer.lan.example", "10.9.0.80"

_UNITS = "/etc/systemd/system"
_WANTED = f"{_UNITS}/multi-user.target.wants"

_NETWORK = """[Unit]
Before=NetworkManager.service
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=ip netns add lan
ExecStart=ip link add lan0 type veth peer name lan1 netns lan
ExecStart=ip -n lan address add 10.9.0.1/24 dev lan1
ExecStart=ip -n lan link set lan1 up
{more}
"""
_BY_HAND = """ExecStart=ip address add 10.9.0.2/24 dev lan0
ExecStart=ip link set lan0 up
ExecStart=ip route add default via 10.9.0.1
"""
FEED = r"printf 'nameserver 10.9.0.1\nsearch lan.example\n' | resolvconf -a lan0"
"""What a DHCP client does with a lease where resolvconf is."""

_RESOLVER = f"""[Unit]
BindsTo=lan.service
After=lan.service
[Service]
NetworkNamespacePath=/run/netns/lan
ExecStart=dnsmasq --keep-in-foreground --conf-file=/dev/null --user=root --no-resolv --no-hosts \
--listen-address=10.9.0.1 --bind-interfaces --address=/example.test/{BY_NETWORK} --local=// \
--host-record={PRINTER},{BY_PRINTER}
"""
_CONNECTION = """[connection]
id=lan
type=ethernet
interface-name=lan0
[ipv4]
method=manual
address1=10.9.0.2/24,10.9.0.1
dns=10.9.0.1;
dns-search=lan.example;
[ipv6]
method=disabled
"""
_NETWORK_MANAGER = """[main]
plugins=keyfile
[device-lan]
match-device=interface-name:lan0
managed=1
"""
_UPSTREAM_UNIT = """[Unit]
Before=secdns.service
[Service]
Type=notify
ExecStart=/opt/secdns/upstream
RuntimeDirectory=upstream
"""
_UPSTREAM = f"""#!/usr/bin/python3 -IB
import asyncio, pathlib, sys
sys.path[:0] = ["/opt/secdns/lib", "/opt/secdns/site-packages"]
from secdns.systemd import ServiceManager
from secdns.testing import FakeUpstream

async def main():
    async with FakeUpstream({{"example.test": {{"*": {{"A": "{BY_UPSTREAM}"}}}}}}) as up:
        ca_file = pathlib.Path("/run/upstream/ca.pem")
        ca_file.write_bytes(pathlib.Path(up.ca_file).read_bytes())
        pathlib.Path("/etc/secdns").mkdir(exist_ok=True)
        pathlib.Path("/etc/secdns/secdns.toml").write_text(
            f'[dnssec]\\nmode = "off"\\n[cache]\\nserve_stale = false\\n[[upstream]]\\nname = "up"\\n'
            f'url = "{{up.tls_url}}"\\naddresses = ["127.0.0.1"]\\nca_file = "{{ca_file}}"\\n')
        ServiceManager().ready("")
        await asyncio.Event().wait()

asyncio.run(main())
"""
_SNAPSHOT = """
import json, os, stat, subprocess
found = {}
for top in ("/etc", "/run/systemd/resolved.conf.d", "/run/systemd/dns-delegate.d", "/run/systemd/resolve",
            "/run/NetworkManager", "/run/resolvconf"):
    for directory, names, files in os.walk(top):
        if directory == "/etc/secdns":  # the upstream has another port after a boot
            continue
        for name in [*names, *files]:
            at = os.path.join(directory, name)
            status = os.lstat(at)
            content = (os.readlink(at) if stat.S_ISLNK(status.st_mode) else
                open(at, "rb").read().hex() if stat.S_ISREG(status.st_mode) else "")
            found[at] = [status.st_mode, status.st_uid, status.st_gid, content]
for argv in (["resolvectl", "status"], ["nmcli", "general"], ["nmcli", "connection", "show", "lan"]):
    done = subprocess.run(argv, capture_output=True, text=True)
    found[" ".join(argv)] = [done.returncode, done.stdout, done.stderr]
print(json.dumps(found))
"""


def prepare(layer: Path, kind: str, *, network: bool = True) -> dict[Path, str]:
    """Write what makes a machine of this kind, with secdns installed but not its service; give what to bind.

    Without ``network`` it boots without one: ``systemctl start lan lan-resolver`` brings it.
    """
    layer.mkdir(mode=0o755)
    bind = add_secdns(layer)
    has_manager = kind in ("resolved", "networkmanager")
    by_hand = _BY_HAND + (f"ExecStart=sh -c {FEED!r}\n" if kind in RESOLVCONFS else "")
    add_file(layer, f"{_UNITS}/lan.service", _NETWORK.format(more="" if has_manager else by_hand))
    add_file(layer, f"{_UNITS}/lan-resolver.service", _RESOLVER)
    add_file(layer, f"{_UNITS}/upstream.service", _UPSTREAM_UNIT)
    add_file(layer, "/opt/secdns/upstream", _UPSTREAM, 0o755)
    for unit in ("upstream", "lan", "lan-resolver") if network else ("upstream",):
        add_link(layer, f"{_WANTED}/{unit}.service", f"{_UNITS}/{unit}.service")
    add_file(layer, "/etc/hosts", "127.0.0.1 localhost\n")
    if has_manager:
        add_file(layer, "/etc/NetworkManager/NetworkManager.conf", _NETWORK_MANAGER)
        add_file(layer, "/etc/NetworkManager/system-connections/lan.nmconnection", _CONNECTION, 0o600)
    else:
        add_link(layer, f"{_UNITS}/NetworkManager.service", "/dev/null")
    if kind == "plain":
        add_file(layer, "/etc/resolv.conf", "# by hand\nnameserver 10.9.0.1\nsearch lan.example\n")
    if kind == "networkmanager":
        hide(layer, "/usr/sbin/resolvconf")  # systemd-resolved under another name
        hide(layer, "/etc/resolv.conf")
    if kind in RESOLVCONFS:
        unpack(kind, layer)
    if kind == "openresolv":
        add_file(layer, "/etc/resolv.conf", "# Generated by resolvconf\n")
    if kind == "resolvconf":  # what its postinst does
        add_link(layer, "/etc/resolv.conf", "../run/resolvconf/resolv.conf")
        add_link(layer, f"{_WANTED}/resolvconf.service", "/lib/systemd/system/resolvconf.service")
    if kind != "resolved":
        hide(layer, "/usr/lib/tmpfiles.d/systemd-resolve.conf")  # would make the link anew
        add_link(layer, f"{_UNITS}/systemd-resolved.service", "/dev/null")
        add_file(
            layer, "/etc/nsswitch.conf", "passwd: files systemd\ngroup: files systemd\nhosts: files dns\n"
        )
    return bind


# What other programs do on a machine of each kind to have it ask the network's resolver again.
TAKE_OVER = {
    "resolved": """printf '[Resolve]\\nDNS=\\nDNS=10.9.0.1\\n' > /run/systemd/resolved.conf.d/zzz-other.conf
        systemctl restart systemd-resolved""",
    "networkmanager": "rm /run/NetworkManager/conf.d/90-secdns.conf; nmcli general reload",
    "plain": "mv /etc/resolv.conf /run/ours && echo nameserver 10.9.0.1 > /etc/resolv.conf",
}
GIVE_BACK = """rm -f /run/systemd/resolved.conf.d/zzz-other.conf
    if [ -e /run/ours ]; then mv /run/ours /etc/resolv.conf; fi"""


class System:
    """A machine of one of the kinds, and what people do to it."""

    def __init__(self, guest: Guest) -> None:
        self.guest = guest
        self.do = guest.do
        self.run = guest.run

    def install(self) -> None:
        """Install the service as README says, and start it for good."""
        self.do("/opt/secdns/packaging/systemd/install", "/usr/local/bin/secdns")
        self.do("systemctl", "enable", "--now", "secdns")

    def secdns(self, *argv: str) -> str:
        """Run a command of secdns that must end with 0."""
        return self.do("secdns", *argv)

    def look_up(self, name: str = NAME) -> str:
        """Look a name up with getaddrinfo, as every program does; empty if it is not found."""
        return self.run("getent", "ahostsv4", name).stdout.partition(" ")[0]

    def wait_for(self, wanted: str, timeout_s: float, name: str = NAME) -> float:
        """Look up until the answer is ``wanted``, and give the seconds that took."""
        began = time.monotonic()
        while (found := self.look_up(name)) != wanted:
            took_s = time.monotonic() - began
            assert took_s < timeout_s, f"{name} is {found!r} after {took_s:.1f} s\n{self.guest.journal()}"
            time.sleep(0.05)
        return time.monotonic() - began

    def wait_seen(self, wanted: str, timeout_s: float) -> None:
        """Wait until the daemon says that this is how it stands with the machine's DNS."""
        began = time.monotonic()
        while (seen := json.loads(self.secdns("status", "--json"))["system"])["state"] != wanted:
            took_s = time.monotonic() - began
            assert took_s < timeout_s, f"{seen} after {took_s:.1f} s, not {wanted}\n{self.guest.journal()}"

    def snapshot(self) -> dict[str, list[object]]:
        """Give every file and link that has to do with DNS, and what the programs say of it."""
        self.look_up()  # resolved shows which server it asked last
        found: dict[str, list[object]] = json.loads(self.do("python3", "-c", _SNAPSHOT))
        return found

    def wait_until_idle(self) -> None:
        """Wait until nobody looks after what another program has changed: then the next change is noticed."""
        busy = "systemctl show -P ActiveState secdns-overruled secdns-overruled-again | grep -q activating"
        self.guest.wait_until("no change is looked at", 15, "sh", "-c", f"! {busy}")

    def wait_until_told(self, words: str, unit: str = "secdns-overruled*") -> None:
        """Wait until a unit has said this since the machine was booted."""
        told = f"journalctl --boot --quiet --output=cat --unit='{unit}' | grep -qF \"$0\""
        self.guest.wait_until(words, 15, "sh", "-c", told, words)

    def state(self, unit: str = "secdns") -> str:
        return self.run("systemctl", "show", "--property=ActiveState", "--value", unit).stdout.strip()

    def main_pid(self) -> str:
        return self.run("systemctl", "show", "--property=MainPID", "--value", "secdns").stdout.strip()
