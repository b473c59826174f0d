"""The key that signs the server's answers. Devices know it by the thumbprint in their join string.

Two more may lie beside it. ``next-…``: announced to devices, signs nothing until it replaces the signing key.
``previous-…``: signed before, and still does for devices that know no other.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import Connection, func, select

from appliance.errors import ConfigurationError
from appliance.permissions import chmod_advice, others_may_read
from appliance.provisioning.common import keys
from appliance.provisioning.common.keys import thumbprint
from appliance.provisioning.common.protocol import DeviceStatus
from appliance.provisioning.server.schema import DEVICE
from appliance.provisioning.server.settings import SIGNING_KEY_FILE, ServerSettings

CREDENTIAL: Final = "signing-key"
KEY_FILES: Final = (SIGNING_KEY_FILE, f"next-{SIGNING_KEY_FILE}", f"previous-{SIGNING_KEY_FILE}")
"""File names in a backup: the signing key, the next one and the previous one."""
_REMEDY = (
    "restore the key and the database that belong together (`admin restore`); "
    "or revoke these devices, which then have to enrol again"
)


def signing_key(settings: ServerSettings) -> Ed25519PrivateKey:
    """Return the signing key: from the setting, the systemd credential or the state directory (created if missing).

    Raises:
        ConfigurationError: The file cannot be created, or is not a key.
    """
    file = signing_key_file(settings)
    if _given(settings) is None and not file.exists():
        _make(file)
    return _read(file)


def next_key(settings: ServerSettings) -> Ed25519PrivateKey | None:
    """Return the announced key; None: there is none. Raises ConfigurationError as `signing_key` does."""
    file = _next(signing_key_file(settings))
    return _read(file) if file.exists() else None


def make_next_key(settings: ServerSettings) -> Ed25519PrivateKey:
    """Return the announced key, created if missing; raises ConfigurationError as `signing_key` does."""
    file = _next(signing_key_file(settings))
    _make(file)
    return _read(file)


def previous_key(settings: ServerSettings) -> Ed25519PrivateKey | None:
    """Return the previous key; None: there is none. Raises ConfigurationError as `signing_key` does."""
    file = _previous(signing_key_file(settings))
    return _read(file) if file.exists() else None


def key_files(settings: ServerSettings) -> dict[str, bytes]:
    """Return the contents of the key files that exist, by the names in `KEY_FILES`; raises ConfigurationError."""
    return {name: _content(file) for name, file in _places(settings).items() if file.exists()}


def put_key_files(settings: ServerSettings, given: Mapping[str, bytes]) -> None:
    """Write key files; existing ones are kept as ``….before``.

    Raises:
        ConfigurationError: One is not a key, or differs from a key that the operator provides.
    """
    for name, content in given.items():
        try:
            keys.private_key(content.decode("ascii"))
        except ValueError:
            raise ConfigurationError(f"{name}: not a key") from None
    for name, file in _places(settings).items():
        before = _content(file) if file.exists() else None
        if name not in given or before == given[name]:
            continue
        if _given(settings) is not None:
            raise ConfigurationError(f"signing_key_file: {file} is not the key of the backup: put that there first")
        try:
            if before is not None:
                file.replace(file.with_name(f"{file.name}.before"))
        except OSError as error:
            raise _unusable(file, error) from error
        _make(file, given[name].decode("ascii"))


def take_next_key(settings: ServerSettings) -> None:
    """Make the next key the signing key, and the signing key the previous one.

    After a power cut, running it again completes it.

    Raises:
        ConfigurationError: The files cannot be changed, as those of a systemd credential.
    """
    _push(_next(signing_key_file(settings)), signing_key_file(settings), _previous(signing_key_file(settings)))


def take_previous_key(settings: ServerSettings) -> None:
    """Make the previous key the signing key again, and the signing key the next one. Raises as `take_next_key`."""
    _push(_previous(signing_key_file(settings)), signing_key_file(settings), _next(signing_key_file(settings)))


def drop_previous_key(settings: ServerSettings) -> None:
    """Remove the previous key; raises ConfigurationError."""
    file = _previous(signing_key_file(settings))
    try:
        file.unlink(missing_ok=True)
    except OSError as error:
        raise _unusable(file, error) from error


def _places(settings: ServerSettings) -> dict[str, Path]:
    file = signing_key_file(settings)
    return dict(zip(KEY_FILES, (file, _next(file), _previous(file)), strict=True))


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise _unusable(file, error) from error


def _push(new: Path, signing: Path, old: Path) -> None:
    """Put ``new`` in the place of ``signing``, and that in the place of ``old``."""
    spare = old.with_suffix(f".{os.getpid()}")
    try:
        os.link(signing, spare)
        spare.replace(old)
        new.replace(signing)
    except OSError as error:
        raise _unusable(new, error) from error
    finally:
        # Two names of one file are not replaced by one another: that is no error, and leaves both.
        spare.unlink(missing_ok=True)


def signing_key_file(settings: ServerSettings) -> Path:
    """Return where the key is, or would be; raises ConfigurationError where there is no place for it."""
    return _given(settings) or settings.directory() / SIGNING_KEY_FILE


def _given(settings: ServerSettings) -> Path | None:
    """Return the key file that the operator provides; None: the server creates its own."""
    return settings.signing_key_file or _credential()


def _next(file: Path) -> Path:
    return file.with_name(f"next-{file.name}")


def _previous(file: Path) -> Path:
    return file.with_name(f"previous-{file.name}")


def _read(file: Path) -> Ed25519PrivateKey:
    refuse_open(file, "signing_key_file")
    try:
        return keys.private_key(file.read_text(encoding="ascii"))
    except OSError as error:
        raise _unusable(file, error) from error
    except ValueError as error:
        raise ConfigurationError(f"signing_key_file: {file}: {error}") from None


def refuse_open(file: Path, setting: str) -> None:
    """Raise ConfigurationError if other users may read a private key."""
    if others_may_read(file):
        raise ConfigurationError(f"{setting}: others may read {file}: {chmod_advice(file)}, and consider replacing it")


def _make(file: Path, pem: str | None = None) -> None:
    """Write ``pem``, or a new key, unless the file exists."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        # A temporary name until it is complete: another process may be reading.
        new = file.with_suffix(f".{os.getpid()}")
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as stream:
            stream.write(pem or keys.new_private_key())
            stream.flush()
            os.fsync(stream.fileno())
        try:
            # Unlike a rename, this does not replace a key that another process has written meanwhile.
            os.link(new, file)
        except FileExistsError:
            pass
        finally:
            new.unlink()
    except OSError as error:
        raise _unusable(file, error) from error


def _unusable(file: Path, error: OSError) -> ConfigurationError:
    return ConfigurationError(f"signing_key_file: {file} cannot be used: {error.strerror}")


def _credential() -> Path | None:
    directory = os.environ.get("CREDENTIALS_DIRECTORY")
    file = Path(directory) / CREDENTIAL if directory else None
    return file if file and file.is_file() else None


def own_key(connection: Connection, settings: ServerSettings) -> Ed25519PrivateKey:
    """Return the signing key; created only if no device of the database trusts another.

    Raises:
        ConfigurationError: Devices trust a key that is not there; or as `signing_key`.
    """
    trusted = _trusted(connection)
    file = signing_key_file(settings)
    if trusted and not file.exists():
        raise ConfigurationError(
            f"signing_key_file: {file} is missing, and {_devices_trust(sum(trusted.values()))} no other key: {_REMEDY}"
        )
    key = signing_key(settings)
    own = {thumbprint(one) for one in (key, next_key(settings), previous_key(settings)) if one}
    named = {name: count for name, count in trusted.items() if name is not None}
    if named and not own & set(named):
        raise ConfigurationError(
            f"signing_key_file: {file} is not the key that {_devices_trust(sum(named.values()))}: {_REMEDY}"
        )
    return key


def _trusted(connection: Connection) -> dict[str | None, int]:
    """Return the number of devices that trust each key; None: unknown which."""
    # A device of the settings that never sent a request may be as new as the server.
    known = (DEVICE.c.status != DeviceStatus.REVOKED.value) & DEVICE.c.last_seen_at.is_not(None)
    wanted = select(DEVICE.c.server_key, func.count().label("devices")).where(known).group_by(DEVICE.c.server_key)
    return {row.server_key: row.devices for row in connection.execute(wanted)}


def _devices_trust(count: int) -> str:
    return "one device in the database trusts" if count == 1 else f"{count} devices in the database trust"
