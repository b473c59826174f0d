"""The server's own key, with which it signs its answers: devices know it by the thumbprint in their join string."""

import os
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from appliance.errors import ConfigurationError
from appliance.provisioning import keys
from appliance.provisioning.server.settings import SIGNING_KEY_FILE, Settings

CREDENTIAL: Final = "signing-key"


def signing_key(settings: Settings) -> Ed25519PrivateKey:
    """Return the key: of the setting, of the systemd credential, or of the state directory (made where missing).

    Raises:
        ConfigurationError: There is no place for it, or what is there is no key.
    """
    given = settings.signing_key_file or _credential()
    file = given or settings.directory() / SIGNING_KEY_FILE
    try:
        if given is None and not file.exists():
            _make(file)
        return keys.private_key(file.read_text(encoding="ascii"))
    except OSError as error:
        raise ConfigurationError(f"signing_key_file: {file} cannot be used: {error.strerror}") from error
    except ValueError as error:
        raise ConfigurationError(f"signing_key_file: {file}: {error}") from None


def _make(file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    # A name of its own until it is whole: another process may be reading.
    new = file.with_suffix(f".{os.getpid()}")
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as stream:
        stream.write(keys.new_private_key())
        stream.flush()
        os.fsync(stream.fileno())
    try:
        # Unlike a renaming, this leaves a key alone that somebody else has made meanwhile.
        os.link(new, file)
    except FileExistsError:
        pass
    finally:
        new.unlink()


def _credential() -> Path | None:
    directory = os.environ.get("CREDENTIALS_DIRECTORY")
    file = Path(directory) / CREDENTIAL if directory else None
    return file if file and file.is_file() else None
