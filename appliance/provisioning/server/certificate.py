"""The server's certificate: reloads it when renewed, warns before it expires, and makes one for development."""

import logging
import os
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509

from appliance.errors import ConfigurationError

HOST = "127.0.0.1"
NEAR: Final = timedelta(days=21)
"""The log warns daily within this time of the end; for a short-lived certificate, in its last quarter."""
_NEAR_FRACTION: Final = 4
WARN_EVERY: Final = timedelta(days=1)
_log = logging.getLogger(__name__)


_Stamps = tuple[tuple[int, int, int], ...]
"""Modification time, inode and size of each file."""


class Certificate:
    """One certificate chain and its private key, PEM, as files.

    Args:
        chain: The server's certificate, and those that lead to its authority.
        key: The private key.
        now: The wall clock, with a time zone.

    Raises:
        ConfigurationError: The files cannot be used.
    """

    def __init__(self, chain: Path, key: Path, now: Callable[[], datetime]) -> None:
        self._chain, self._key, self._now = chain, key, now
        self._contexts: list[ssl.SSLContext] = []
        self._warned_at: datetime | None = None
        self._seen: _Stamps | None = None
        self._failed: _Stamps | None = None
        try:
            self._seen, leaf = self._read()
        except (OSError, ValueError) as error:
            raise ConfigurationError(f"tls_certificate, tls_key: {chain} and {key} cannot be used: {error}") from None
        self._leaf = leaf

    @property
    def expires_at(self) -> datetime:
        """When the certificate in use expires."""
        return self._leaf.not_valid_after_utc

    def keep_current(self, context: ssl.SSLContext) -> None:
        """Load each renewed certificate into ``context``, which already has this one."""
        self._contexts.append(context)

    def check(self) -> None:
        """Reload a renewed certificate, and warn of one that expires soon; call it every minute or so.

        Files that do not fit together are tried again later: they may be in the middle of being replaced.
        """
        try:
            self._reload_if_renewed()
        except (OSError, ValueError) as error:
            _log.error("the renewed certificate in %s cannot be used, the old one stays in use: %s", self._chain, error)
        self._warn()

    def _reload_if_renewed(self) -> None:
        stamps = self._stamps()
        if stamps in (self._seen, self._failed):
            return
        try:
            self._seen, self._leaf = self._read()
        except (OSError, ValueError):
            self._failed = stamps
            raise
        for context in self._contexts:
            context.load_cert_chain(self._chain, self._key, _no_passphrase)
        self._failed, self._warned_at = None, None
        _log.info("a renewed certificate is in use, valid until %s", _day(self.expires_at))

    def _read(self) -> tuple[_Stamps, x509.Certificate]:
        """Read the files and check that they fit together; raises OSError (ssl.SSLError too) and ValueError."""
        stamps = self._stamps()
        leaf = x509.load_pem_x509_certificate(self._chain.read_bytes())
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(self._chain, self._key, _no_passphrase)
        return stamps, leaf

    def _stamps(self) -> _Stamps:
        found = (file.stat() for file in (self._chain, self._key))
        return tuple((stat.st_mtime_ns, stat.st_ino, stat.st_size) for stat in found)

    def _warn(self) -> None:
        """Warn once a day of a certificate that expires soon, and at once when it has expired."""
        now, before = self._now(), self._warned_at
        near = min(NEAR, (self.expires_at - self._leaf.not_valid_before_utc) / _NEAR_FRACTION)
        has_just_ended = before is not None and before < self.expires_at <= now
        is_due = before is None or now >= before + WARN_EVERY or has_just_ended
        if now < self.expires_at - near or not is_due:
            return
        self._warned_at = now
        if now >= self.expires_at:
            _log.error("the certificate %s expired on %s: no device can connect", self._chain, _day(self.expires_at))
        else:
            _log.warning("the certificate %s expires on %s: renew it", self._chain, _day(self.expires_at))


def _no_passphrase() -> str:
    """Raise ValueError; OpenSSL would prompt on the terminal, and block every device meanwhile."""
    raise ValueError("the key has a passphrase: write it without one (openssl pkey), readable by the server alone")


def _day(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")


@dataclass(frozen=True, slots=True)
class LoopbackCertificate:
    """PEM files of a certificate for the loopback address."""

    ca_file: Path
    """The authority that devices have to trust (``provisioning.ca_file``)."""
    certificate: Path
    key: Path
    """Readable by its owner only."""


def make_certificate(directory: Path) -> LoopbackCertificate:
    """Write a new certificate for the loopback address into ``directory``, created if missing.

    Raises:
        ConfigurationError: The files cannot be written.
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
