"""What secdns and its users test with: an upstream on loopback.

``FakeUpstream`` speaks DNS over TLS, HTTPS, QUIC, UDP and TCP with a certificate authority of its own,
answers from ``Zones`` and misbehaves as ``Faults`` say; a ``Relay`` is a bad network on the way to it.
``SignedZones`` are zones with DNSSEC: keys, signatures, proofs and trust anchors, made in memory;
``broken`` has what can be wrong with their answers.
"""

from secdns.testing.authority import CERTIFICATE_KINDS, Authority, CertificateKind, Leaf, spki_pin
from secdns.testing.core import Answer, Handshake
from secdns.testing.demo import DEMO_ZONES, signed_demo_zones
from secdns.testing.faults import Faults, Seen
from secdns.testing.hierarchy import Fault, SignedZones
from secdns.testing.relay import Relay
from secdns.testing.signed import Signing, Zone
from secdns.testing.signing import Key, Terms, make_key
from secdns.testing.upstream import FakeUpstream
from secdns.testing.zones import ZoneData, Zones

__all__ = [
    "CERTIFICATE_KINDS",
    "DEMO_ZONES",
    "Answer",
    "Authority",
    "CertificateKind",
    "FakeUpstream",
    "Fault",
    "Faults",
    "Handshake",
    "Key",
    "Leaf",
    "Relay",
    "Seen",
    "SignedZones",
    "Signing",
    "Terms",
    "Zone",
    "ZoneData",
    "Zones",
    "make_key",
    "signed_demo_zones",
    "spki_pin",
]
