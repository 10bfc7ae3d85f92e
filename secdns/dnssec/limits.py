"""Budgets of one client query (KeyTrap CVE-2023-50387, NSEC3 CVE-2023-50868 and their kin).

A budget is made once for each client query and never renewed, whatever is asked anew on its
behalf: RFC 4035 §5 leaves the work to do unbounded, an attacker does not.
"""

from typing import Final

from secdns.errors import Error
from secdns.limit import Limit

# Checks of one signature with one key, over the whole query: PowerDNS 30, Knot 32, resolved 64.
SIGNATURES: Final = Limit(48, 16, 256)
# RRSIGs tried for one RRset: PowerDNS 2, Unbound and hickory 8. A key roll needs two.
RRSIGS_PER_RRSET: Final = Limit(4, 1, 8)
# RRSIGs looked at for one RRset, those that are refused without cryptography included.
RRSIGS_SEEN: Final = Limit(32, 8, 64)
# Keys of one tag tried for one RRSIG, one that cannot be read included: PowerDNS and hickory 2.
KEYS_PER_RRSIG: Final = Limit(2, 1, 4)
# Names hashed for NSEC3: PowerDNS 600, Unbound 8 a run. A denial needs 3 to a few dozen.
NSEC3_HASHES: Final = Limit(64, 8, 512)
# Extra iterations of a hash (RFC 9276 §3.2): BIND, Knot and PowerDNS 50.
NSEC3_ITERATIONS: Final = Limit(50, 0, 150)
NSEC3_SALT: Final = Limit(64, 0, 255)  # octets
# Records in one answer: Knot 8, PowerDNS 10. A closest encloser proof needs 3.
NSEC3_RECORDS: Final = Limit(8, 3, 32)
NSEC_RECORDS: Final = Limit(8, 2, 32)
# Records in one RRset that is signed: PowerDNS 256, BIND 100. Each is sorted and hashed.
RRSET: Final = Limit(256, 64, 1000)
# In one RRset: PowerDNS 8 DS; real zones have up to 6 keys.
DNSKEYS: Final = Limit(16, 4, 64)
DS_RECORDS: Final = Limit(8, 2, 32)
# Keys followed for one trust anchor (RFC 5011 §2.4.3: at least five).
ANCHOR_KEYS: Final = Limit(16, 5, 64)
# Questions asked for one client query: PowerDNS 50, dnsmasq 40. The PTR of an unsigned IPv6
# address, 34 labels deep, has to fit.
QUERIES: Final = Limit(40, 16, 200)
# CNAME and DNAME links: PowerDNS 10, Unbound 11, Knot 13.
CHAIN: Final = Limit(12, 4, 32)
# Signature checks between two turns of the event loop: 8 take about a millisecond.
TURN: Final = Limit(8, 1, 48)


class OverBudget(Error):
    """An answer wants more work than any honest one."""


class Budget:
    """What one client query may still cost. Belongs to that query alone."""

    __slots__ = ("_since_turn", "hashes", "queries", "signatures")

    def __init__(self) -> None:
        self.signatures = SIGNATURES.default
        self.hashes = NSEC3_HASHES.default
        self.queries = QUERIES.default
        self._since_turn = 0

    def spend_signature(self) -> None:
        """Take one check of a signature off.

        Raises:
            OverBudget: none is left.
        """
        if not self.signatures:
            raise OverBudget(f"over {SIGNATURES.default} signature checks for one answer")
        self.signatures -= 1
        self._since_turn += 1

    def spend_hash(self) -> None:
        """Take one NSEC3 hash off.

        Raises:
            OverBudget: none is left.
        """
        if not self.hashes:
            raise OverBudget(f"over {NSEC3_HASHES.default} NSEC3 hashes for one answer")
        self.hashes -= 1

    def spend_queries(self, count: int) -> None:
        """Take ``count`` questions off.

        Raises:
            OverBudget: so many are not left.
        """
        if count > self.queries:
            raise OverBudget(f"over {QUERIES.default} questions for one answer")
        self.queries -= count

    def is_turn_due(self, coming: int) -> bool:
        """Tell, once, that the event loop should have a turn before ``coming`` more checks."""
        if not self._since_turn or self._since_turn + coming <= TURN.default:
            return False
        self._since_turn = 0
        return True
