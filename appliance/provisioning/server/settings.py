"""The provisioning server's settings.

Later sources win: the defaults here (the state directory's is ``state`` beside the TOML file) < ``STATE_DIRECTORY`` and
``GEMINI_API_KEY`` (these two only) < the TOML file < the systemd credential ``gemini-api-key`` < ``PROVISIOND_*``
variables (``PROVISIOND_LOCK__VOICE``) < command-line flags. Relative paths count from the file that holds them. The
result is frozen; nothing reads the environment afterwards.
"""

import os
import re
from collections.abc import Mapping
from ipaddress import IPv4Network
from pathlib import Path
from typing import Annotated, Final, Self
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    IPvAnyNetwork,
    SecretStr,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticKnownError
from pydantic_settings import SettingsConfigDict

from appliance.config.sources import LayeredSettings, Section, Tree, read_file, resolve, variables
from appliance.errors import ConfigurationError
from appliance.permissions import chmod_advice, others_may_read
from appliance.provisioning.common import keys
from appliance.provisioning.common.protocol import DeviceId, HttpsUrl
from appliance.provisioning.common.signatures import is_authority
from appliance.provisioning.server.timestamps import UTC_NAME

CREDENTIAL: Final = "gemini-api-key"
STATE_NAME: Final = "state"
DATABASE_FILE: Final = "provisiond.sqlite"
SIGNING_KEY_FILE: Final = "signing-key.pem"
_PASSWORD: Final = re.compile(r"[a-z+0-9]+://[^/@]*:[^/@]+@")


def _public_key(value: object) -> keys.PublicKey:
    return keys.public_key(value) if isinstance(value, str) else value  # type: ignore[return-value]


def _time_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError("is no time zone that this system knows, such as Europe/Berlin") from None
    return name


def _authority(name: str) -> str:
    if not is_authority(name):
        raise ValueError("has to be host or host:port, without https:// and path")
    return name


Authority = Annotated[str, AfterValidator(_authority)]
TimeZone = Annotated[str, AfterValidator(_time_zone)]
PublicKey = Annotated[keys.PublicKey, BeforeValidator(_public_key)]


class UpstreamService(Section):
    """The service that mints tokens."""

    base_url: HttpsUrl | None = None
    """Address. Empty: Google's."""
    ca_file: Path | None = None
    """Certificates to trust instead of the public ones; for the simulator."""
    timeout_s: float = Field(default=4.0, ge=0.5, le=30)
    """Longest wait for a token, in seconds. Keep it below the time that devices wait (5)."""


class LockSettings(Section):
    """Values that tokens lock, besides the model. They replace the values that a device asks for."""

    voice: str | None = Field(default=None, min_length=1)
    """One of the service's prebuilt voices. Empty: the device chooses. Locks the language, too."""
    language: str | None = Field(default=None, min_length=1)
    """Language to speak, as a BCP-47 code. Empty: the device chooses. Locks the voice, too."""
    instruction: str | None = Field(default=None, min_length=1)
    """The system instruction. Empty: the device chooses."""


class DeviceLimits(Section):
    """Limits for each device; 0: no limit.

    A token counts as one conversation that takes all of its time, until the device reports what it was used for. A
    device that lies about that is limited all the same.
    """

    sessions_day: int = Field(default=120, ge=0)
    """Conversations per day. A self-test counts as one; an unused token does not count."""
    minutes_month: int = Field(default=0, ge=0)
    """Minutes of conversation per month. A started minute counts in full, and each conversation at least one."""
    burst: int = Field(default=12, ge=0)
    """Conversations that may begin within ten minutes."""
    concurrent: int = Field(default=8, ge=0)
    """Tokens in use at once. A token counts until its device reports the end, or it expires."""
    unused_day: int = Field(default=100, ge=0)
    """Tokens per day that a device may report as unused; further ones count as conversations. After each conversation a
    device fetches a token in advance, and discards it if nobody speaks for ten minutes."""
    time_zone: TimeZone = UTC_NAME
    """Time zone of days and months, for example "Europe/Berlin"."""
    clone_conflicts_day: int = Field(default=3, ge=0)
    """Reused sequence numbers per day after which a device is suspended, because its key has been copied."""


class ServerSettings(LayeredSettings):
    """All settings."""

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
    """Address to listen on. ``::`` listens on all, IPv6 and IPv4; ``0.0.0.0`` on all IPv4 addresses."""
    port: int = Field(default=8443, ge=0, le=65535)
    """Port to listen on. 0: any free one."""
    tls_certificate: Path | None = None
    """The server's certificate chain, PEM."""
    tls_key: Path | None = None
    """The private key of the certificate, PEM; not readable by others."""
    authorities: tuple[Authority, ...] = ()
    """Names by which devices address this server (``host`` or ``host:port``). Empty: that of ``public_url``, or any if
    that is empty, too. Requests signed for another name are refused."""
    proxies: tuple[IPvAnyNetwork, ...] = ()
    """Addresses or networks (``10.0.0.0/24``) of proxies in front of this server. ``X-Forwarded-For`` is believed only
    from these."""
    public_url: HttpsUrl | None = None
    """Address by which devices reach this server; part of every join string."""
    state_dir: Path | None = None
    """Directory of the database and the server's keys. Empty: ``$STATE_DIRECTORY``, or ``state`` beside this file."""
    database_url: str | None = Field(default=None, repr=False)
    """``postgresql://user@host/name``. Empty: SQLite in the state directory, enough for a hundred devices."""
    signing_key_file: Path | None = None
    """Key that signs answers, Ed25519 in PEM. Empty: the systemd credential ``signing-key``, or a file in the state
    directory, made at the first start. All servers of a fleet need the same."""
    metrics_port: int | None = Field(default=None, ge=0, le=65535)
    """Port on 127.0.0.1 for Prometheus. Empty: none. 0: any free one."""
    security_contact: str | None = Field(default=None, pattern=r"^(mailto:|https://)[!-~]{3,200}$")
    """Contact for vulnerability reports, in ``/.well-known/security.txt``: ``mailto:`` or ``https://``."""
    min_agent_version: str = Field(default="0", pattern=r"^[0-9]{1,4}(\.[0-9]{1,4}){0,3}$")
    """Oldest version of the appliance that is served; devices with an older one are refused."""
    latest_agent_version: str | None = Field(default=None, pattern=r"^[0-9]{1,4}(\.[0-9]{1,4}){0,3}$")
    """Newest version of the appliance, reported to devices."""
    api_key: SecretStr
    """The Gemini API key. Do not write it into this file; use the systemd credential ``gemini-api-key`` or the variable
    ``GEMINI_API_KEY``. Separate several keys, of different projects, by white space; devices are spread over them."""
    model: str = Field(default="gemini-3.8-live", min_length=1)
    """The Live model. Every token locks it."""
    api_version: str = Field(default="v1alpha", pattern=r"^v[0-9a-z]{1,16}$")
    """API version of the tokens."""
    live_base_url: HttpsUrl | None = None
    """Address of the Live service, as given to devices. Empty: Google's."""
    max_session_min: float = Field(default=15.0, gt=0, le=60)
    """Longest session, in minutes, counted from the last moment at which it can begin."""
    upstream: UpstreamService = UpstreamService()
    """The service that mints tokens."""
    lock: LockSettings = LockSettings()
    """Values that tokens lock, besides the model. They replace the values that a device asks for."""
    limits: DeviceLimits = DeviceLimits()
    """Limits for each device; 0: no limit."""
    devices: Mapping[DeviceId, PublicKey] = Field(default_factory=dict)
    """Devices that need not enrol: id = public key (Ed25519 in PEM or as 32 bytes in base64, or P-256 in PEM)."""

    @field_validator("api_key")
    @classmethod
    def _not_blank(cls, key: SecretStr) -> SecretStr:
        if not key.get_secret_value().strip():
            raise PydanticKnownError("missing")
        return key

    @model_validator(mode="after")
    def _each_key_once(self) -> Self:
        seen: dict[str, str] = {}
        for device, key in self.devices.items():
            other = seen.setdefault(keys.thumbprint(key), device)
            if other != device:
                raise ValueError(f"devices: {device} and {other} have the same key")
        return self

    def names(self) -> tuple[str, ...]:
        """Return the names under which devices address this server; none: any."""
        if self.authorities or self.public_url is None:
            return self.authorities
        return (urlsplit(self.public_url).netloc,)

    def forwarders(self) -> list[str]:
        """Return the networks of `proxies`, also as they are seen where this server listens on IPv6."""
        mapped = [
            f"::ffff:{network.network_address}/{96 + network.prefixlen}"
            for network in self.proxies
            if isinstance(network, IPv4Network)
        ]
        return [*map(str, self.proxies), *mapped]

    def api_keys(self) -> tuple[str, ...]:
        """Return the API keys, in the order in which they were given."""
        return tuple(self.api_key.get_secret_value().split())

    def directory(self) -> Path:
        """Return the state directory; raises ConfigurationError where there is none."""
        if self.state_dir is None:
            raise ConfigurationError(
                "state_dir: not set; give --config FILE or $STATE_DIRECTORY; or try --development DIR"
            )
        return self.state_dir

    def database(self) -> str:
        """Return the address of the database; raises ConfigurationError where there is no place for one."""
        return self.database_url or f"sqlite:///{self.directory().absolute() / DATABASE_FILE}"


def load(file: Path | None, flags: Tree) -> ServerSettings:
    """Read all sources.

    Raises:
        ConfigurationError: One line for each mistake.
    """
    missing = {"api_key": f"set GEMINI_API_KEY, or the systemd credential {CREDENTIAL}"}
    return resolve(ServerSettings, _layers(file, flags), missing)[0]


def load_for_admin(file: Path | None, flags: Tree) -> ServerSettings:
    """Read all sources for a program that mints nothing: it needs no API key. Raises ConfigurationError."""
    return resolve(ServerSettings, [*_layers(file, flags), ("admin", {"api_key": "none"})])[0]


def _layers(file: Path | None, flags: Tree) -> list[tuple[str, Tree]]:
    key = os.environ.get("GEMINI_API_KEY")
    state = os.environ.get("STATE_DIRECTORY", "").partition(":")[0]
    return [
        ("default", {"state_dir": str(file.absolute().parent / STATE_NAME)} if file else {}),
        ("STATE_DIRECTORY", {"state_dir": state} if state else {}),
        ("GEMINI_API_KEY", {"api_key": key} if key else {}),
        (str(file), _of_file(file) if file else {}),
        ("credential", _credential()),
        ("environment", variables(ServerSettings)),
        ("command line", flags),
    ]


def _of_file(file: Path) -> Tree:
    """Read the settings file; raises ConfigurationError also where others may read a secret in it."""
    tree = read_file(file, ServerSettings)
    database_url = tree.get("database_url")
    has_password = isinstance(database_url, str) and _PASSWORD.match(database_url) is not None
    secret = "api_key" if "api_key" in tree else "database_url, with its password," if has_password else None
    if secret is not None and others_may_read(file):
        raise ConfigurationError(f"{file}: others may read it, and {secret} is in it: {chmod_advice(file)}")
    return tree


def _credential() -> Tree:
    directory = os.environ.get("CREDENTIALS_DIRECTORY")
    file = Path(directory) / CREDENTIAL if directory else None
    if file is None or not file.is_file():
        return {}
    try:
        return {"api_key": file.read_text(encoding="ascii").strip()}
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"credential {CREDENTIAL}: cannot be read: {type(error).__name__}") from None
