"""A certificate for the simulator, from an authority that lives as long as the process."""

import ssl
from dataclasses import dataclass
from pathlib import Path

import trustme

from appliance.storage.atomic import write_atomically


@dataclass(frozen=True, slots=True)
class Certificate:
    """What the server needs, and what its clients need."""

    context: ssl.SSLContext
    """For the server: the certificate is good for its address, 127.0.0.1 and localhost."""
    ca_file: Path
    """For clients: the authority to trust, PEM."""


def issue(directory: Path, address: str) -> Certificate:
    """Make a new authority and a certificate of it; write ``ca.pem`` into ``directory``; raises OSError."""
    authority = trustme.CA(organization_name="Voice appliance simulator")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*{address, "127.0.0.1", "localhost"}).configure_cert(context)
    ca_file = directory / "ca.pem"
    write_atomically(ca_file, authority.cert_pem.bytes())
    return Certificate(context, ca_file)
