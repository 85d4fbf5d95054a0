"""Certificates in PEM files: made for development and tests, and read wherever they come from."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple, Self

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

PRIVATE = 0o600
# Clocks differ: what is made now must be in force on the machine beside.
HEAD_START = timedelta(minutes=5)


class Pair(NamedTuple):
    """A certificate with its key, both as PEM; the key is PKCS#8, as Kafka wants it."""

    certificate: bytes
    key: bytes

    @property
    def keystore(self) -> bytes:
        """Both in one, as Kafka reads it with ``ssl.keystore.type=PEM``."""
        return self.key + self.certificate

    def write(self, certificate: Path, key: Path) -> None:
        """Write both, the key for the owner's eyes only; who reads meanwhile gets old or new."""
        replace(key, self.key, PRIVATE)
        replace(certificate, self.certificate, 0o644)


class Told(NamedTuple):
    """What a certificate tells.

    Attributes:
        subject: Who it is for, as ``CN=processor``.
        issuer: Who made it.
        begins: From when it is in force, in seconds since 1970.
        ends: Until when.
        names: Hosts and addresses that it is for.
    """

    subject: str
    issuer: str
    begins: float
    ends: float
    names: tuple[str, ...]


class Authority:
    """Signs certificates; for development, where nobody has to trust it but ourselves.

    Args:
        pair: Its own certificate and key.
    """

    def __init__(self, pair: Pair) -> None:
        self.pair = pair
        self._certificate = x509.load_pem_x509_certificate(pair.certificate)
        key = serialization.load_pem_private_key(pair.key, None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise TypeError("the key of the authority is not one that we have made")
        self._key = key

    @classmethod
    def make(cls, name: str, *, now: datetime, days: float) -> Self:
        """Make a new one that is in force for so many days."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = _named(name)
        certificate = (
            _begun(subject, subject, key.public_key(), key.public_key(), now, days)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs=True), critical=True)
            .sign(key, hashes.SHA256())
        )
        return cls(_pair(certificate, key))

    def has_issued(self, pem: bytes) -> bool:
        """Tell whether the first certificate of a PEM text is signed by this authority."""
        try:
            x509.load_pem_x509_certificate(pem).verify_directly_issued_by(self._certificate)
        except (ValueError, TypeError, InvalidSignature):
            return False
        return True

    def issue(self, name: str, hosts: Iterable[str] = (), *, now: datetime, days: float) -> Pair:
        """Return a certificate for a client or a server.

        Args:
            name: Who it is for; the common name.
            hosts: Names and addresses at which a server is reached.
            now: From when it is in force, but for a few minutes.
            days: For how long.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = (
            _begun(
                _named(name),
                self._certificate.subject,
                key.public_key(),
                self._key.public_key(),
                now,
                days,
            )
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs=False), critical=True)
            .add_extension(
                x509.ExtendedKeyUsage(
                    [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
                ),
                critical=False,
            )
        )
        if names := [_general(host) for host in hosts]:
            certificate = certificate.add_extension(
                x509.SubjectAlternativeName(names), critical=False
            )
        return _pair(certificate.sign(self._key, hashes.SHA256()), key)


def read(pem: bytes) -> Told:
    """Return what the first certificate of a PEM text tells.

    Raises:
        ValueError: There is none.
    """
    found = x509.load_pem_x509_certificate(pem)
    try:
        names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        hosts: tuple[str, ...] = ()
    else:
        hosts = (
            *names.get_values_for_type(x509.DNSName),
            *map(str, names.get_values_for_type(x509.IPAddress)),
        )
    return Told(
        found.subject.rfc4514_string(),
        found.issuer.rfc4514_string(),
        found.not_valid_before_utc.timestamp(),
        found.not_valid_after_utc.timestamp(),
        hosts,
    )


def ends_of(pem: bytes) -> list[float]:
    """Return when the certificates of a PEM text end, in seconds since 1970.

    Raises:
        ValueError: There is none, or one cannot be read.
    """
    return [each.not_valid_after_utc.timestamp() for each in x509.load_pem_x509_certificates(pem)]


def replace(file: Path, content: bytes, mode: int) -> None:
    """Write a file anew, so that at no time a part of it can be read."""
    beside = file.with_name(f".{file.name}.new")
    beside.unlink(missing_ok=True)
    beside.touch(mode, exist_ok=False)
    beside.write_bytes(content)
    beside.rename(file)


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _general(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _begun(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    signer: ec.EllipticCurvePublicKey,
    now: datetime,
    days: float,
) -> x509.CertificateBuilder:
    now = now.astimezone(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - HEAD_START)
        .not_valid_after(now + timedelta(days=days))
        # By these one finds the other; RFC 5280 wants both, and strict clients insist.
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer), critical=False)
    )


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs,
        key_cert_sign=signs,
        crl_sign=signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _pair(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> Pair:
    return Pair(
        certificate.public_bytes(serialization.Encoding.PEM),
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
    )
