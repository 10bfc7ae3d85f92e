"""Point the operating system at secdns, and back.

    plan.py            what a back-end is: current settings, and a plan that can be undone
    detect.py          who controls DNS on this machine; pure
    resolved.py … windows.py   one back-end each
    journal.py         what was there before, on the disk before the first change
    wish.py            whether the service is to turn it on again
    switch.py          on and off: the one place that changes anything, through machine.py
    contest.py         another program changes DNS, too: how often is put up with, and who it is
    defence.py         on again after that, or aside
    machine.py         files and programs
    proof.py           does a name that a program looks up arrive at secdns?
    status.py          who controls DNS, in words
    asked.py           do programs ask us? from a few looks, again and again
    rivals.py          who else is asked besides us
    rescue.py          off, with nothing but the standard library

A back-end does not apply and restore by itself: each of its changes is saved, done and undone by
the same few lines in ``switch``, and undoing reads the journal and no back-end's code.
"""

from secdns.osdns import macos, networkmanager, resolv_file, resolvconf, resolved, windows
from secdns.osdns.plan import Backend

__all__ = ["BACKENDS"]

BACKENDS: dict[str, Backend] = {
    # Keeps each link's own names with that link, so it comes before whoever else feeds it.
    "resolved": resolved,
    # Rewrites resolv.conf at every change of the network, so nobody below it would last.
    "networkmanager": networkmanager,
    # Puts together what DHCP clients and VPNs tell it, and rewrites resolv.conf likewise.
    "resolvconf": resolvconf,
    # Nobody writes the file: then we do. It is the only one that survives a reboot.
    "resolv_file": resolv_file,
    # Each alone on its system.
    "macos": macos,
    "windows": windows,
}
