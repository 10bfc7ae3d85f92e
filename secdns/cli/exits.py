"""The exit codes of every command, in one place."""

from enum import IntEnum


class Exit(IntEnum):
    """What a command tells the program that started it.

    0 to 4 are the outcome of a query; the others are those of BSD's sysexits.h, and 128 plus the
    signal's number for an end that somebody else wanted.
    """

    OK = 0
    NO_RECORDS = 1  # NXDOMAIN or NODATA
    FAILURE = 2  # SERVFAIL, REFUSED or any other RCODE that is no answer
    BOGUS = 3  # signed, and the signatures do not fit
    NETWORK = 4  # no upstream answered
    USAGE = 64
    UNAVAILABLE = 69  # no daemon, no address to listen on, names do not go through secdns, a check failed
    INTERNAL = 70
    CANNOT_WRITE = 73  # a file, or the system's settings
    NOT_PERMITTED = 77  # it needs root, or rights over the daemon
    CONFIG = 78
    INTERRUPTED = 130
    BROKEN_PIPE = 141
