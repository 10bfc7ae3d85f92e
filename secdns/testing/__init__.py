"""What secdns and its users test with: an upstream on loopback.

``FakeUpstream`` speaks DNS over TLS, HTTPS, UDP and TCP with a certificate authority of its own, answers
from ``Zones`` and misbehaves as ``Faults`` say.
"""

from secdns.testing.authority import CERTIFICATE_KINDS, Authority, CertificateKind, Leaf, spki_pin
from secdns.testing.core import Answer, Handshake
from secdns.testing.demo import DEMO_ZONES
from secdns.testing.faults import Faults, Seen
from secdns.testing.upstream import FakeUpstream
from secdns.testing.zones import ZoneData, Zones

__all__ = [
    "CERTIFICATE_KINDS",
    "DEMO_ZONES",
    "Answer",
    "Authority",
    "CertificateKind",
    "FakeUpstream",
    "Faults",
    "Handshake",
    "Leaf",
    "Seen",
    "ZoneData",
    "Zones",
    "spki_pin",
]
