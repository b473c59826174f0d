"""TLS for connections that this program opens."""

import os
import ssl
from pathlib import Path


def client_context(ca_file: Path | None = None) -> ssl.SSLContext:
    """Return a context that trusts the certificates in ``ca_file``, or the system's.

    Raises:
        OSError: The file cannot be used as certificates.
    """
    # OpenSSL would write the secrets of every connection to this file: the environment has no say in that.
    os.environ.pop("SSLKEYLOGFILE", None)
    return ssl.create_default_context(cafile=ca_file)
