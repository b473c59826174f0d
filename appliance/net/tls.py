"""TLS for connections that this program opens."""

import os
import ssl
from pathlib import Path

from appliance.errors import ConfigurationError


def client_context(ca_file: Path | None, setting: str) -> ssl.SSLContext:
    """Return a context that trusts the certificates in ``ca_file``, or the system's.

    Raises:
        ConfigurationError: The file, which ``setting`` names, cannot be used as certificates.
    """
    # OpenSSL would write the secrets of every connection to this file: the environment has no say in that.
    os.environ.pop("SSLKEYLOGFILE", None)
    try:
        return ssl.create_default_context(cafile=ca_file)
    except OSError as error:
        raise ConfigurationError(f"{setting}: {ca_file} cannot be used as certificates: {error}") from error
