"""The identity of this device at its provisioning server, and the server's keys that it trusts.

Enrolment leaves it in the state directory (``identity.json``, and the key in a separate file); settings under
``provisioning`` override it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from appliance.config.schema import ProvisioningSettings
from appliance.errors import ConfigurationError, NotEnrolled
from appliance.provisioning.common import keys
from appliance.provisioning.common.protocol import DeviceId, HttpsUrl, Jwk, ServerKey
from appliance.storage.atomic import final_name
from appliance.storage.private_dir import PrivateDirectory

FILE_NAME: Final = "identity.json"
_KEY_FILE: Final = "device-key-{name}.pem"

TrustedKeys = Mapping[str, Ed25519PublicKey]
"""The keys that a server signs its answers with, by thumbprint."""


class Identity(BaseModel):
    """The result of enrolment; holds no secret."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    url: HttpsUrl
    device_id: DeviceId
    claim: str
    """The public id of the claim that was used."""
    key_file: str
    """The name of the key's file in the same directory; empty: the settings hold the key."""
    server_keys: tuple[ServerKey, ...]


@dataclass(frozen=True, slots=True)
class Credentials:
    """Everything needed to talk to the server."""

    url: str
    """Without a trailing slash."""
    device_id: str
    key: keys.PrivateKey = field(repr=False)
    trusted: TrustedKeys
    identity: Identity | None
    """The stored identity; None: the settings are complete."""


def key_file(name: str) -> str:
    """Return the name of a key's file; ``name`` tells it from other keys of this device."""
    return _KEY_FILE.format(name=name)


def is_key_file(name: str) -> bool:
    """Say whether a file of this name holds a key of this device, perhaps a half-written one."""
    before, after = _KEY_FILE.split("{name}")
    final = final_name(name).removesuffix(".new")  # as earlier releases wrote it
    return final.startswith(before) and final.endswith(after)


def read(directory: PrivateDirectory) -> Identity | None:
    """Return the stored identity; None where this device has not enrolled.

    Raises:
        NotEnrolled: The file is damaged.
    """
    text = directory.read(FILE_NAME)
    if text is None:
        return None
    try:
        return Identity.model_validate_json(text)
    except ValidationError:
        raise NotEnrolled(
            f"{directory.path / FILE_NAME} is damaged: `appliance forget`, and enrol with a new join string"
        ) from None


def write(directory: PrivateDirectory, identity: Identity) -> None:
    """Store an identity; raises ConfigurationError."""
    directory.write(FILE_NAME, identity.model_dump_json(indent=2) + "\n")


def load_credentials(settings: ProvisioningSettings, directory: PrivateDirectory) -> Credentials:
    """Return the settings' values, and the stored identity's where a setting is empty.

    Raises:
        NotEnrolled: A value is in neither, or the stored identity is damaged.
        ConfigurationError: A setting cannot be used.
    """
    given = configured_key(settings)
    if given is not None and is_configured(settings):
        url, device_id, key, enrolled = settings.url, settings.device_id, given, None
    else:
        enrolled = read(directory)
        if enrolled is None:
            raise NotEnrolled(_not_enrolled(settings, given))
        key = given or _enrolled_key(directory, enrolled)
        url, device_id = settings.url or enrolled.url, settings.device_id or enrolled.device_id
    return Credentials(
        url=checked_url(url),
        device_id=_checked_device_id(device_id),
        key=key,
        trusted=_configured_server_keys(settings)
        if enrolled is None or settings.server_keys
        else trusted_keys(enrolled.server_keys),
        identity=enrolled,
    )


def is_configured(settings: ProvisioningSettings) -> bool:
    """Say whether the settings are complete: the stored identity is ignored then."""
    key = settings.device_key or settings.device_key_file
    return bool(settings.url and settings.device_id and settings.server_keys and key)


def configured_key(settings: ProvisioningSettings) -> keys.PrivateKey | None:
    """Return the key that the settings hold or name, if any; raises ConfigurationError."""
    try:
        if settings.device_key is not None:
            return keys.device_key(settings.device_key.get_secret_value())
        if settings.device_key_file is not None:
            return keys.device_key(settings.device_key_file.read_text(encoding="ascii"))
    except OSError as error:
        raise ConfigurationError(
            f"provisioning.device_key_file: {settings.device_key_file} cannot be read: {error.strerror}"
        ) from error
    except ValueError:
        raise ConfigurationError(
            "provisioning.device_key: not an unencrypted Ed25519 or P-256 private key in PEM"
        ) from None
    return None


def stored_key(directory: PrivateDirectory, name: str) -> keys.PrivateKey | None:
    """Return the key in a file of the directory; None: there is none. Raises NotEnrolled where it is damaged."""
    text = directory.read(name)
    if text is None:
        return None
    try:
        return keys.device_key(text)
    except ValueError:
        raise NotEnrolled(
            f"{directory.path / name} is damaged: `appliance forget`, and enrol with a new join string"
        ) from None


def trusted_keys(server_keys: tuple[ServerKey, ...]) -> TrustedKeys:
    """Parse a server's keys; one whose thumbprint is not its ``kid`` is left out."""
    found = {}
    for named in server_keys:
        key = _public(named)
        if key is not None and keys.thumbprint(key) == named.kid:
            found[named.kid] = key
    return found


def checked_url(url: str) -> str:
    """Return an address without its trailing slash; raises ConfigurationError where it is not https."""
    try:
        return TypeAdapter(HttpsUrl).validate_python(url).rstrip("/")
    except ValidationError:
        raise ConfigurationError("provisioning.url: must be an https address without user name or query") from None


def _public(named: ServerKey) -> Ed25519PublicKey | None:
    try:
        key = keys.key_of(Jwk(kty="OKP", crv="Ed25519", x=named.x))
    except ValueError:
        return None
    return key if isinstance(key, Ed25519PublicKey) else None


def _not_enrolled(settings: ProvisioningSettings, given: keys.PrivateKey | None) -> str:
    values = {
        "url": settings.url,
        "device_id": settings.device_id,
        "device_key": given,
        "server_keys": settings.server_keys,
    }
    missing = ", ".join(f"provisioning.{name}" for name, value in values.items() if not value)
    return f"this device is not enrolled: appliance enrol --join-file FILE (or set {missing})"


def _enrolled_key(directory: PrivateDirectory, enrolled: Identity) -> keys.PrivateKey:
    key = stored_key(directory, enrolled.key_file) if enrolled.key_file else None
    if key is None:
        raise NotEnrolled(
            "provisioning.device_key: missing; set the key that this device enrolled with, or `appliance forget`, and "
            "enrol with a new join string"
        )
    return key


def _configured_server_keys(settings: ProvisioningSettings) -> TrustedKeys:
    try:
        named = [keys.public_key(text) for text in settings.server_keys]
    except ValueError:
        named = []
    found = {keys.thumbprint(key): key for key in named if isinstance(key, Ed25519PublicKey)}
    if not found:
        raise ConfigurationError(
            "provisioning.server_keys: must be the server's Ed25519 public keys, as 32 bytes in base64 or in PEM"
        )
    return found


def _checked_device_id(device_id: str) -> str:
    try:
        return TypeAdapter(DeviceId).validate_python(device_id)
    except ValidationError:
        raise ConfigurationError(
            "provisioning.device_id: must be 1 to 64 letters, digits, dots, dashes and underscores"
        ) from None
