"""Programs that are often found on port 53, by the names that a person knows them by, and their cures.

`KNOWN` is asked in its order and the first that fits counts: a unit that starts other people's
programs comes before the program.
"""

from dataclasses import dataclass
from typing import Final

from secdns.listener.holder import Holder


@dataclass(frozen=True, slots=True)
class Known:
    """One program. It fits a holder of one of its ``units``, or whose command is one of ``commands``.

    With both, both must fit. Of a process that we may not see no more is known than its user, which
    is one of ``users`` then. ``purpose`` is why it listens; ``remedy`` frees an address that it holds.
    """

    title: str
    purpose: str
    remedy: str
    commands: tuple[str, ...] = ()
    units: tuple[str, ...] = ()
    users: tuple[str, ...] = ()

    def fits(self, holder: Holder) -> bool:
        """Tell whether this is it."""
        if holder.pid is None:
            return holder.user in self.users
        return (not self.commands or holder.command in self.commands) and (
            not self.units or holder.unit in self.units
        )


KNOWN: Final = (
    Known(
        "secdns",
        "answers this machine's programs",
        "secdns runs already; stop it first",
        commands=("secdns",),
    ),
    # its dnsmasq has the command of all others
    Known(
        "NetworkManager's dnsmasq",
        "is the local resolver that NetworkManager starts",
        "remove dns=dnsmasq from the configuration of NetworkManager, "
        "then `sudo systemctl restart NetworkManager`",
        units=("NetworkManager.service",),
    ),
    Known(
        "libvirt's dnsmasq",
        "answers virtual machines",
        "let libvirt's networks have another address (`virsh net-list` names them), or stop the one that "
        "has this one: `sudo virsh net-destroy default`",
        commands=("dnsmasq",),
        units=("libvirtd.service", "virtnetworkd.service"),
        users=("libvirt-dnsmasq",),
    ),
    Known(
        "systemd-resolved",
        "is the stub that programs of this machine ask; it can be told to ask secdns",
        "set DNSStubListener=no and remove DNSStubListenerExtra= "
        "in /etc/systemd/resolved.conf, then `sudo systemctl restart systemd-resolved`",
        commands=("systemd-resolved",),
        users=("systemd-resolve",),
    ),
    Known(
        "Podman's aardvark-dns",
        "answers containers",
        "set dns_bind_port under [network] in /etc/containers/containers.conf, "
        "or stop the containers of that network: `podman ps`",
        commands=("aardvark-dns",),
    ),
    Known(
        "Docker",
        "publishes a port of a container",
        "`docker ps --filter publish=53` names the container; publish its port on another address",
        commands=("docker-proxy", "dockerd"),
    ),
    Known(
        "systemd",
        "waits for a service that is started when it is asked",
        "find the socket unit with `systemctl list-sockets` and disable it",
        commands=("systemd",),
    ),
)


def known(holder: Holder) -> Known | None:
    """Give the program that holds a port, or None if it is none of the usual ones."""
    return next((one for one in KNOWN if one.fits(holder)), None)
