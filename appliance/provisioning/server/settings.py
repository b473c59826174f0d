"""Every setting of the provisioning server, and what to say when one is wrong.

Later sources win: the defaults here < ``GEMINI_API_KEY`` (the key only) < the TOML file < the systemd credential
``gemini-api-key`` < ``PROVISIOND_*`` variables (``PROVISIOND_LOCK__VOICE``) < command-line flags. The result is
frozen; nothing reads the environment afterwards.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr
from pydantic_settings import SettingsConfigDict

from appliance.errors import ConfigurationError
from appliance.layers import LayeredSettings, Tree, read_toml, resolve, variables
from appliance.provisioning import signing
from appliance.provisioning.protocol import DeviceId, HttpsUrl

CREDENTIAL: Final = "gemini-api-key"


def _public_key(value: object) -> Ed25519PublicKey:
    return value if isinstance(value, Ed25519PublicKey) else signing.public_key(str(value))


PublicKey = Annotated[Ed25519PublicKey, BeforeValidator(_public_key)]


class Section(BaseModel):
    """One table of the settings file."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class UpstreamService(Section):
    """The service that mints tokens."""

    base_url: HttpsUrl | None = None
    """Its address; empty: Google's own."""
    ca_file: Path | None = None
    """Certificates to trust instead of the public ones: for the simulator."""
    timeout_s: float = Field(default=4.0, ge=0.5, le=30)
    """The longest wait for a token; less than devices wait for theirs."""


class Lock(Section):
    """What tokens lock, beside the model: a device that asks for something else gets this."""

    voice: str | None = Field(default=None, min_length=1)
    """One of the service's prebuilt voices; empty: the device chooses. Locks the language too."""
    language: str | None = Field(default=None, min_length=1)
    """BCP-47 code of the language to speak; empty: the device chooses. Locks the voice too."""
    instruction: str | None = Field(default=None, min_length=1)
    """The system instruction; empty: the device chooses."""


class Settings(LayeredSettings):
    """The whole tree."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        env_prefix="PROVISIOND_",
        env_nested_delimiter="__",
        use_attribute_docstrings=True,
        hide_input_in_errors=True,
        arbitrary_types_allowed=True,
    )

    host: str = "127.0.0.1"
    """Address to listen on; ``::`` or ``0.0.0.0`` for all."""
    port: int = Field(default=8443, ge=0, le=65535)
    """Port to listen on; 0: any free one."""
    tls_certificate: Path | None = None
    """The server's certificate chain, PEM."""
    tls_key: Path | None = None
    """Its private key, PEM."""
    authorities: tuple[str, ...] = ()
    """Names under which devices address this server (``host`` or ``host:port``); empty: any. With names, a request
    that was signed for another server is refused."""
    api_key: SecretStr = Field(min_length=1)
    """The Gemini API key; not for the file but for the credential ``gemini-api-key``, or the environment."""
    model: str = Field(default="gemini-3.8-live", min_length=1)
    """The Live model; always locked."""
    api_version: str = Field(default="v1alpha", pattern=r"^v[0-9a-z]{1,16}$")
    """Version of the API that tokens are minted with and good for."""
    live_base_url: HttpsUrl | None = None
    """Address of the Live service that devices are told; empty: Google's own."""
    max_session_min: float = Field(default=15.0, gt=0, le=60)
    """Minutes until a token's session ends, from when it can last begin."""
    upstream: UpstreamService = UpstreamService()
    """The service that mints tokens."""
    lock: Lock = Lock()
    """What tokens lock."""
    devices: Mapping[DeviceId, PublicKey] = Field(default_factory=dict)
    """Device id = its Ed25519 public key, PEM or 32 bytes in base64."""


def load(file: Path | None, flags: Tree) -> Settings:
    """Read all sources.

    Raises:
        ConfigurationError: One line for each mistake.
    """
    key = os.environ.get("GEMINI_API_KEY")
    layers = [
        ("GEMINI_API_KEY", {"api_key": key} if key else {}),
        (str(file), read_toml(file) if file else {}),
        ("credential", _credential()),
        ("environment", variables(Settings)),
        ("command line", flags),
    ]
    missing = {"api_key": f"set GEMINI_API_KEY, or the systemd credential {CREDENTIAL}"}
    return resolve(Settings, layers, missing)[0]


def _credential() -> Tree:
    directory = os.environ.get("CREDENTIALS_DIRECTORY")
    file = Path(directory) / CREDENTIAL if directory else None
    if file is None or not file.is_file():
        return {}
    try:
        return {"api_key": file.read_text(encoding="ascii").strip()}
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"credential {CREDENTIAL}: cannot be read: {type(error).__name__}") from None
