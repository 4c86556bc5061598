"""The server's certificate: the administrator's files, or a self-signed pair made once in the data folder.

Promises: TLS 1.2 and newer (RFC 8996); a context is made anew from the files, so that a changed certificate is taken
up at reload; a self-made key is 0600 and never replaced while it is valid.
Fails by: ConfigError that names the file and what is wrong with it.
"""

import os
import ssl
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from bridge.config.server import Pair, Tls
from bridge.model.clock import SYSTEM, Clock
from bridge.model.errors import ConfigError
from bridge.model.language import tr
from bridge.store import files
from bridge.store.failpoints import Failpoint

_WRITE = Failpoint("certificate.write", "the self-signed certificate and its key")
_YEARS = 10


def ensure(settings: Tls, folder: Path, hostname: str, clock: Clock = SYSTEM) -> tuple[Path, Path]:
    """(certificate, key): the configured files, or a self-signed pair under `folder`."""
    if settings.certificate:
        return Path(settings.certificate), Path(settings.key)
    certificate, key = folder / "self-signed.pem", folder / "self-signed.key"
    if not (certificate.exists() and key.exists()):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        public, private = _make(hostname, clock)
        files.replace(key, private, _WRITE)
        files.replace(certificate, public, _WRITE, mode=0o644)
    return certificate, key


def context(certificate: Path, key: Path, more: Sequence[Pair] = ()) -> ssl.SSLContext:
    """What listeners use. `more`: certificates for clients that ask for one of their names (SNI, RFC 6066 3)."""
    usual = _single(certificate, key)
    by_name: dict[str, ssl.SSLContext] = {}
    for one in more:
        special = _single(Path(one.certificate), Path(one.key))
        for name in _names(Path(one.certificate)):
            by_name.setdefault(name, special)

    def choose(connection: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
        asked = (name or "").lower()
        wild = "*." + asked.partition(".")[2]
        found = by_name.get(asked) or by_name.get(wild)
        if found is not None:
            connection.context = found

    if by_name:
        usual.sni_callback = choose
    return usual


def _single(certificate: Path, key: Path) -> ssl.SSLContext:
    found = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    found.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        found.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError([tr(
            f"tls: {certificate} and {key}: {error}; both must be PEM and belong together",
            f"tls: {certificate} y {key}: {error}; los dos deben ser PEM y formar pareja",
        )]) from error
    return found


def warnings(settings: Tls) -> list[str]:
    """What a check should say of the key files."""
    found = []
    for name, key in (("tls.key", settings.key), *(("tls.more.key", one.key) for one in settings.more)):
        mode = os.stat(key).st_mode & 0o777 if key and os.path.exists(key) else 0
        if mode & 0o077:
            found.append(tr(
                f"{name}: {key} has mode {mode:o}; others may read it: chmod 600",
                f"{name}: {key} tiene el modo {mode:o}; otros pueden leerlo: chmod 600",
            ))
    return found


def _names(certificate: Path) -> list[str]:
    """The host names in a certificate that has been loaded already."""
    found = x509.load_pem_x509_certificates(certificate.read_bytes())[0]
    try:
        names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        return [name.lower() for name in names.get_values_for_type(x509.DNSName)]
    except x509.ExtensionNotFound:
        return [str(one.value).lower() for one in found.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]


def _make(hostname: str, clock: Clock) -> tuple[bytes, bytes]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, hostname[:64])])
    start = datetime.fromtimestamp(clock.now(), UTC) - timedelta(days=1)
    names = [x509.DNSName(hostname), x509.DNSName("localhost")]
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=365 * _YEARS))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return built.public_bytes(serialization.Encoding.PEM), private
