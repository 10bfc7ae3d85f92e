"""Tell which resolvers the system had before it was pointed at us, for names that only they know."""

import logging

from secdns.errors import SettingsError
from secdns.osdns import journal
from secdns.osdns.machine import Machine

_LOG = logging.getLogger(__name__)


def original(machine: Machine | None = None) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Give the servers (IP literals) and the search list in the journal; both empty if there is none."""
    try:
        for _, written in journal.found(machine or Machine()):
            return written.original.hosts, written.original.search
    except (OSError, SettingsError) as error:
        _LOG.warning("what the system's resolvers were before cannot be read: %s", error)
    return (), ()
