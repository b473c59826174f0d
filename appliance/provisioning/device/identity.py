"""Who this device is to its provisioning server, and which keys of the server it trusts.

Enrolment leaves this in the state directory (``identity.json``, and a key in a file of its own); what the settings say
under ``provisioning`` counts more.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from appliance.config.schema import Provisioning
from appliance.errors import ConfigurationError, NotEnrolled
from appliance.provisioning.common import keys
from appliance.provisioning.common.protocol import DeviceId, HttpsUrl, Jwk, ServerKey
from appliance.storage.atomic import final_name
from appliance.storage.private_dir import PrivateDirectory

FILE_NAME: Final = "identity.json"
_KEY_FILE: Final = "device-key-{name}.pem"

Trusted = Mapping[str, Ed25519PublicKey]
"""Keys that a server signs its answers with, by thumbprint."""


class Identity(BaseModel):
    """What enrolment has made of this device; holds no secret."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    url: HttpsUrl
    device_id: DeviceId
    claim: str
    """The public id of the claim that it enrolled with."""
    key_file: str
    """The name of the file with its key, in the same directory; empty: the settings hold the key."""
    server_keys: tuple[ServerKey, ...]


@dataclass(frozen=True, slots=True)
class Credentials:
    """All that it takes to speak with the server."""

    url: str
    """Without a slash at its end."""
    device_id: str
    key: keys.PrivateKey = field(repr=False)
    trusted: Trusted
    identity: Identity | None
    """Where it comes from; None: the settings say it all."""


def key_file(name: str) -> str:
    """Return the name of a key's file; ``name`` tells it from other keys of this device."""
    return _KEY_FILE.format(name=name)


def is_key_file(name: str) -> bool:
    """Say whether a file of this name holds a key of this device, perhaps one that is half written."""
    before, after = _KEY_FILE.split("{name}")
    final = final_name(name)
    return final.startswith(before) and final.endswith(after)


def read(directory: PrivateDirectory) -> Identity | None:
    """Return who this device is; None where it has not enrolled.

    Raises:
        NotEnrolled: What is there cannot be read.
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
    """Be this device from now on; raises ConfigurationError."""
    directory.write(FILE_NAME, identity.model_dump_json(indent=2) + "\n")


def credentials(settings: Provisioning, directory: PrivateDirectory) -> Credentials:
    """Return what the settings say, and where they say nothing, what enrolment has left.

    Raises:
        NotEnrolled: Something is in neither, or what enrolment has left is damaged.
        ConfigurationError: A setting cannot be used.
    """
    given = given_key(settings)
    if given is not None and is_given(settings):
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
        trusted=_said_keys(settings) if enrolled is None or settings.server_keys else trusted(enrolled.server_keys),
        identity=enrolled,
    )


def is_given(settings: Provisioning) -> bool:
    """Say whether the settings say it all: what enrolment has left is not looked at then."""
    key = settings.device_key or settings.device_key_file
    return bool(settings.url and settings.device_id and settings.server_keys and key)


def given_key(settings: Provisioning) -> keys.PrivateKey | None:
    """Return the key that the settings hold or name; None: they do not. Raises ConfigurationError."""
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


def kept_key(directory: PrivateDirectory, name: str) -> keys.PrivateKey | None:
    """Return the key in a file of the directory; None: there is none. Raises ConfigurationError where it is no key."""
    text = directory.read(name)
    if text is None:
        return None
    try:
        return keys.device_key(text)
    except ValueError:
        raise NotEnrolled(
            f"{directory.path / name} is damaged: `appliance forget`, and enrol with a new join string"
        ) from None


def trusted(server_keys: tuple[ServerKey, ...]) -> Trusted:
    """Return a server's keys as they are used; one that does not bear the name it goes by is left out."""
    found = {}
    for one in server_keys:
        key = _public(one)
        if key is not None and keys.thumbprint(key) == one.kid:
            found[one.kid] = key
    return found


def checked_url(url: str) -> str:
    """Return an address without a slash at its end; raises ConfigurationError where it is not https."""
    try:
        return TypeAdapter(HttpsUrl).validate_python(url).rstrip("/")
    except ValidationError:
        raise ConfigurationError("provisioning.url: has to be an https address, without user name or query") from None


def _public(one: ServerKey) -> Ed25519PublicKey | None:
    try:
        key = keys.key_of(Jwk(kty="OKP", crv="Ed25519", x=one.x))
    except ValueError:
        return None
    return key if isinstance(key, Ed25519PublicKey) else None


def _not_enrolled(settings: Provisioning, given: keys.PrivateKey | None) -> str:
    said = {
        "url": settings.url,
        "device_id": settings.device_id,
        "device_key": given,
        "server_keys": settings.server_keys,
    }
    missing = ", ".join(f"provisioning.{name}" for name, value in said.items() if not value)
    return f"this device is not enrolled: appliance enrol --join-file FILE (or set {missing})"


def _enrolled_key(directory: PrivateDirectory, enrolled: Identity) -> keys.PrivateKey:
    key = kept_key(directory, enrolled.key_file) if enrolled.key_file else None
    if key is None:
        raise NotEnrolled(
            "provisioning.device_key: missing; the server knows this device by its key: set it as it was, or "
            "`appliance forget`, and enrol with a new join string"
        )
    return key


def _said_keys(settings: Provisioning) -> Trusted:
    try:
        said = [keys.public_key(text) for text in settings.server_keys]
    except ValueError:
        said = []
    found = {keys.thumbprint(key): key for key in said if isinstance(key, Ed25519PublicKey)}
    if not found:
        raise ConfigurationError(
            "provisioning.server_keys: has to be the server's public keys, Ed25519, as 32 bytes in base64 or in PEM"
        )
    return found


def _checked_device_id(device_id: str) -> str:
    try:
        return TypeAdapter(DeviceId).validate_python(device_id)
    except ValidationError:
        raise ConfigurationError(
            "provisioning.device_id: has to be 1 to 64 letters, digits, dots, dashes and underscores"
        ) from None
