"""Say of an upstream's certificate what a person wants to know."""

import math
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # takes 7 MB
    from cryptography import x509

DAY_S = 86400


@dataclass(frozen=True)
class Certificate:
    """A certificate in DER, which somebody has checked already."""

    der: bytes

    @cached_property
    def subject(self) -> str:
        """Its common name, else the first name it is for."""
        from cryptography import x509

        named = _common_name(self._parsed.subject)
        if named is None:
            try:
                names = self._parsed.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
                named = next((str(name.value) for name in names), None)
            except (x509.ExtensionNotFound, ValueError):
                named = None
        return named or "a certificate without a name"

    @cached_property
    def issuer(self) -> str:
        """The common name of who signed it, else all of its name."""
        return _common_name(self._parsed.issuer) or self._parsed.issuer.rfc4514_string() or "nobody"

    @cached_property
    def not_after(self) -> datetime:
        """The last moment of its validity."""
        return self._parsed.not_valid_after_utc

    @property
    def last_day(self) -> str:
        """The day of that moment, UTC."""
        return self.not_after.date().isoformat()

    def days_left(self, now: float) -> int:
        """Give the whole days until then from ``now``, wall-clock seconds; negative once it is over."""
        return math.floor((self.not_after.timestamp() - now) / DAY_S)

    @cached_property
    def pin_sha256(self) -> str:
        """The pin of its key."""
        from secdns.transport.tls import pin_of

        return pin_of(self.der)

    @cached_property
    def _parsed(self) -> "x509.Certificate":
        from cryptography import x509

        return x509.load_der_x509_certificate(self.der)


def _common_name(name: "x509.Name") -> str | None:
    from cryptography.x509.oid import NameOID

    found = name.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(found[0].value) if found else None
