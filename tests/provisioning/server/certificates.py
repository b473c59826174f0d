"""Self-signed certificates of the provisioning server."""

from datetime import timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.support.provisioning import NOW

FILES = ("tls-certificate.pem", "tls-key.pem")


def issue(directory: Path, days: float, name: str = "nas.local") -> None:
    """Write a self-signed certificate that is good from now on, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    made = x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
    signed = made.not_valid_before(NOW).not_valid_after(NOW + timedelta(days=days)).sign(key, hashes.SHA256())
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    contents = (signed.public_bytes(serialization.Encoding.PEM), private)
    for file, content in zip(FILES, contents, strict=True):
        new = directory / f"{file}.new"
        new.write_bytes(content)
        new.replace(directory / file)
