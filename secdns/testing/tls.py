"""TLS contexts of a testing upstream, made for the certificate and the faults of the moment."""

import ssl
import tempfile
import warnings
from collections.abc import MutableMapping
from pathlib import Path

from secdns.testing.authority import Authority, CertificateKind


class Contexts:
    """Server contexts that present one certificate.

    The CA's certificate stays as ``ca_file`` in ``directory``; keys are on disk only while OpenSSL
    reads them. The SNI of each handshake is put into ``server_names``. Contexts are kept, so that
    clients can resume their sessions.
    """

    def __init__(
        self, directory: Path, hostname: str, server_names: MutableMapping[ssl.SSLObject, str]
    ) -> None:
        self.ca_file = directory / "ca.pem"
        self._directory = directory
        self._hostname = hostname
        self._authority = Authority()
        self._made: dict[tuple[tuple[str, ...], ssl.TLSVersion | None], ssl.SSLContext] = {}
        self._server_names = server_names
        self.ca_file.write_bytes(self._authority.certificate_pem)
        self.use("good")

    def use(self, kind: CertificateKind) -> None:
        """Present a new certificate from now on; sessions made with the old one cannot be resumed."""
        self.leaf = self._authority.issue(kind, self._hostname)
        self.pin_sha256 = self.leaf.pin_sha256
        self._made.clear()

    def get(self, alpn: tuple[str, ...], maximum: ssl.TLSVersion | None) -> ssl.SSLContext:
        """Give the context that offers these protocols, up to this version of TLS (None: the newest)."""
        context = self._made.get((alpn, maximum))
        if context is None:
            context = self._made[alpn, maximum] = self._make(alpn, maximum)
        return context

    def _make(self, alpn: tuple[str, ...], maximum: ssl.TLSVersion | None) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if maximum is not None:
            if maximum < ssl.TLSVersion.TLSv1_2:
                context.set_ciphers("ALL:@SECLEVEL=0")  # else OpenSSL 3 does not speak the old versions
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # being outdated is what is wanted here
                context.minimum_version = min(maximum, ssl.TLSVersion.TLSv1_2)
                context.maximum_version = maximum
        if alpn:
            context.set_alpn_protocols(list(alpn))
        context.sni_callback = self._note_server_name
        with tempfile.NamedTemporaryFile(dir=self._directory, suffix=".pem") as file:
            file.write(self.leaf.key_pem + self.leaf.certificate_pem)
            file.flush()
            context.load_cert_chain(file.name)
        return context

    def _note_server_name(self, tls: ssl.SSLObject, server_name: str | None, context: ssl.SSLContext) -> None:
        if server_name is not None:
            self._server_names[tls] = server_name
