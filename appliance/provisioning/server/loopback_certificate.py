"""A certificate for the loopback address, for development: made afresh at every start, trusted by nobody else."""

import os
from dataclasses import dataclass
from pathlib import Path

from appliance.errors import ConfigurationError

HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class LoopbackCertificate:
    """Files, PEM."""

    ca_file: Path
    """What a device has to trust (``provisioning.ca_file``)."""
    certificate: Path
    key: Path
    """Readable by its owner only."""


def make_certificate(directory: Path) -> LoopbackCertificate:
    """Write the three files into ``directory``, made where it is not there.

    Raises:
        ConfigurationError: They cannot be written.
    """
    import trustme  # noqa: PLC0415  a server in the field does without it

    made = LoopbackCertificate(directory / "ca.pem", directory / "server.pem", directory / "server-key.pem")
    authority = trustme.CA()
    server = authority.issue_cert(HOST, "localhost", "::1")
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        authority.cert_pem.write_to_path(str(made.ca_file))
        made.certificate.write_bytes(b"".join(blob.bytes() for blob in server.cert_chain_pems))
        _write_private(made.key, server.private_key_pem.bytes())
    except OSError as error:
        raise ConfigurationError(f"{directory}: cannot be written to: {error.strerror}") from error
    return made


def _write_private(file: Path, content: bytes) -> None:
    file.unlink(missing_ok=True)
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
        stream.write(content)
