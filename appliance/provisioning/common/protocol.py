"""The wire protocol between a device and the provisioning server, version 1.

JSON in UTF-8 over HTTPS. Every request is signed by the device's key, and every answer by the server's
(`signatures.py`). Errors are problem details (RFC 9457). A device ignores unknown fields of an answer; the server
refuses unknown fields of a request.
"""

from collections.abc import Mapping
from enum import StrEnum
from http import HTTPStatus
from ipaddress import IPv6Address
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    StringConstraints,
    field_serializer,
)

ENROL_PATH: Final = "/v1/enroll"
TOKENS_PATH: Final = "/v1/tokens"
DEVICE_PATH: Final = "/v1/device"
ROTATE_PATH: Final = "/v1/device/rotate"
SESSION_EVENTS_PATH: Final = "/v1/sessions/{session_id}/events"
AGENT: Final = "voice-appliance"
"""A device's ``User-Agent`` is this, a slash and its version."""
JSON: Final = "application/json"
PROBLEM_JSON: Final = "application/problem+json"
MAX_REQUEST_BYTES: Final = 8 * 1024
"""Maximum size of a request's body; the server reads no further."""
MAX_ANSWER_BYTES: Final = 64 * 1024
"""Maximum size of an answer's body; the device reads no further."""
MAX_RETRY_AFTER: Final = 31 * 86_400
"""Seconds: a month's quota may be used up on its first day."""
MAX_SEQUENCE: Final = 10**15 - 1
"""Maximum of a sequence number: fifteen digits, as in a structured-field integer (RFC 9651)."""
TRUSTED_KEYS_HEADER: Final = "trusted-server-keys"
"""In a request: the thumbprints of the server's keys that the device trusts, with commas between.

The signature does not cover it. By it the server chooses the key that it signs with, and knows which devices would be
lost if a key were dropped; an older server ignores it.
"""


def _checked_address(url: str) -> str:
    """Return an address; raises ValueError where its port is 0 or its IPv6 address malformed."""
    parts = urlsplit(url)
    if parts.port == 0:
        raise ValueError("there is no port 0")
    if parts.netloc.startswith("["):
        IPv6Address(parts.hostname or "")
    return url


DeviceId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{1,64}$")]
HttpsUrl = Annotated[
    str,
    StringConstraints(pattern=r"^https://([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?(/[A-Za-z0-9._~/-]*)?$"),
    AfterValidator(_checked_address),
]
"""A host, a port, a path: no user name, no query."""
SequenceNumber = Annotated[int, Field(ge=0, le=MAX_SEQUENCE)]


class TokenMode(StrEnum):
    """The start of the session: by wake word or push-to-talk."""

    WAKE = "wake"
    PTT = "ptt"


class Purpose(StrEnum):
    """The purpose of a token, which decides how long a session may be begun with it."""

    NEW = "new"
    RESUME = "resume"
    PREFETCH = "prefetch"


class RequestBody(BaseModel):
    """The base of every request's body."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ResponseBody(BaseModel):
    """The base of every answer's body."""

    model_config = ConfigDict(frozen=True, extra="ignore")


ShortText = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1f\x7f-\x9f]{1,80}$")]
"""One line of text, by a person or about a machine."""
Base64Key = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{43}$")]
"""32 bytes in base64url."""


class Jwk(BaseModel):
    """A public key (RFC 7517): Ed25519 (``OKP``, without ``y``) or P-256 (``EC``)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kty: Literal["OKP", "EC"]
    crv: Literal["Ed25519", "P-256"]
    x: Base64Key
    y: Base64Key | None = None


class DeviceFacts(RequestBody):
    """Facts about the machine, for the operator's list."""

    model: ShortText | None = None
    serial_sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")] | None = None
    os: ShortText | None = None


class EnrolRequest(RequestBody):
    """Body of ``POST /v1/enroll``, signed with the key that it brings (``keyid`` is the key's thumbprint)."""

    claim: SecretStr = Field(min_length=1, max_length=64)
    public_key: Jwk
    device: DeviceFacts = DeviceFacts()
    name: ShortText | None = None

    @field_serializer("claim", when_used="json")
    def _plain(self, claim: SecretStr) -> str:
        return claim.get_secret_value()


class DeviceStatus(StrEnum):
    """The status of a device at its server."""

    PENDING = "pending"
    """Enrolled, and waiting for the operator's approval."""
    ACTIVE = "active"
    SUSPENDED = "suspended"
    REVOKED = "revoked"


class ServerKey(ResponseBody):
    """A key that the server signs its answers with."""

    kid: str
    """Its RFC 7638 thumbprint."""
    x: Base64Key


class Limits(ResponseBody):
    """Limits of a device; 0: no limit."""

    sessions_day: int = 0
    minutes_month: int = 0
    burst: int = 0
    concurrent: int = 0
    max_session_s: int = 0


class KeyNamingAnswer(ResponseBody):
    """An answer that names the keys that the server signs with: the current, the next and the previous one."""

    server_keys: tuple[ServerKey, ...] = ()
    """The keys to trust from now on; empty: as before. The first one signs."""


class EnrolResponse(KeyNamingAnswer):
    """Answer to ``POST /v1/enroll``: 201, or 200 when the same claim and key have been seen before."""

    device_id: DeviceId
    status: DeviceStatus
    limits: Limits = Limits()
    server_time: AwareDatetime


class Quota(ResponseBody):
    """The quota that a device has left; None: no limit."""

    sessions_left_today: int | None = None
    """Conversations."""
    minutes_left_month: int | None = None
    resets_at: AwareDatetime | None = None
    """The end of the server's day."""
    used_up: str | None = None
    """The `ProblemCode` with which another conversation would be refused now; None: it would not."""
    used_up_until: AwareDatetime | None = None


class DeviceView(KeyNamingAnswer):
    """Answer to ``GET /v1/device``."""

    device_id: DeviceId
    status: DeviceStatus
    name: str | None = None
    limits: Limits = Limits()
    quota: Quota | None = None
    min_agent_version: str | None = None
    latest_agent_version: str | None = None
    server_time: AwareDatetime


class RotateRequest(RequestBody):
    """Body of ``POST /v1/device/rotate``, signed with the old key."""

    public_key: Jwk
    proof: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9+/]{86}==$")]
    """The new key's signature of `keys.rotation_text`, base64."""


class RotateResponse(KeyNamingAnswer):
    """Answer to ``POST /v1/device/rotate``: both keys are good until the first request with the new one."""

    thumbprint: str


class SessionEventType(StrEnum):
    """An event in the life of a session."""

    STARTED = "started"
    ENDED = "ended"
    ERROR = "error"


UNUSED: Final = "unused"
"""The reason of an end: no session was begun with the token."""


class SessionEvent(RequestBody):
    """Body of ``POST /v1/sessions/{id}/events``: counters only, nothing that was said."""

    type: SessionEventType
    reason: Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]{0,40}$")] = ""
    seconds: Annotated[int, Field(ge=0, le=86_400)] = 0
    reconnects: Annotated[int, Field(ge=0, le=10_000)] = 0


class SessionEventResponse(KeyNamingAnswer):
    """Answer to ``POST /v1/sessions/{id}/events``."""

    quota: Quota


class TokenRequest(RequestBody):
    """Body of ``POST /v1/tokens``."""

    mode: TokenMode
    purpose: Purpose
    profile: Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]{1,32}$")] = "default"


class TokenLocks(ResponseBody):
    """The fields of a session's set-up that the token locks; None: the device chooses."""

    voice: str | None = None
    language: str | None = None
    tools: tuple[str, ...] | None = None
    """Names of the tools that the operator allows; a device offers those of them that it has."""
    config_etag: str | None = None
    """Changes whenever the locked fields change."""


class TokenResponse(KeyNamingAnswer):
    """Answer to ``POST /v1/tokens``. Its repr masks the token; its JSON holds it."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    session_id: str | None = None
    """The id for the device's reports about the session."""
    token: SecretStr = Field(min_length=1)
    uses: int = 1
    """Sessions that can be begun with it; resuming one does not count."""
    model: str = Field(min_length=1)
    api_version: Annotated[str, StringConstraints(pattern=r"^v[0-9a-z]{1,16}$")]
    base_url: HttpsUrl | None = None
    """Address of the Live service; None: Google's."""
    new_session_expires_at: AwareDatetime
    expires_at: AwareDatetime
    server_time: AwareDatetime
    """The server's clock when it answered, by which the two times above are read."""
    effective: TokenLocks = TokenLocks()
    quota: Quota | None = None

    @field_serializer("token", when_used="json")
    def _plain(self, token: SecretStr) -> str:
        return token.get_secret_value()


class ProblemCode(StrEnum):
    """All reasons for which the server refuses a request."""

    MALFORMED = "malformed"
    SIGNATURE_INVALID = "signature-invalid"
    """Unknown device, wrong key or malformed signature: one answer for all, so that nobody learns which."""
    CLAIM_INVALID = "claim-invalid"
    """Unknown, wrong, expired, revoked, used or locked claim: one answer for all."""
    DEVICE_PENDING = "device-pending"
    DEVICE_SUSPENDED = "device-suspended"
    AGENT_TOO_OLD = "agent-too-old"
    NOT_FOUND = "not-found"
    METHOD_NOT_ALLOWED = "method-not-allowed"
    SEQUENCE_CONFLICT = "sequence-conflict"
    """The number was used before. Only after a valid signature; comes with the last number that was accepted."""
    ALREADY_MINTED = "already-minted"
    """This request was answered with a token before, and the answer was lost: send it again with the next number."""
    QUOTA_SESSIONS = "quota-sessions"
    QUOTA_MINUTES = "quota-minutes"
    RATE_LIMITED = "rate-limited"
    CONCURRENCY = "concurrency"
    TOO_LARGE = "too-large"
    UNSUPPORTED_MEDIA_TYPE = "unsupported-media-type"
    INVALID_REQUEST = "invalid-request"
    INTERNAL = "internal"
    OVERLOADED = "overloaded"
    """More requests than the server can serve; nothing was done. Retry-After differs from device to device."""
    UPSTREAM_REJECTED = "upstream-rejected"
    """The service refuses the server's API key, or the request."""
    UPSTREAM_UNAVAILABLE = "upstream-unavailable"
    UPSTREAM_QUOTA = "upstream-quota"
    DRAINING = "draining"
    """The server is shutting down; another one, or the next one, serves."""


STATUS: Final[Mapping[ProblemCode, HTTPStatus]] = {
    ProblemCode.MALFORMED: HTTPStatus.BAD_REQUEST,
    ProblemCode.SIGNATURE_INVALID: HTTPStatus.UNAUTHORIZED,
    ProblemCode.CLAIM_INVALID: HTTPStatus.FORBIDDEN,
    ProblemCode.DEVICE_PENDING: HTTPStatus.FORBIDDEN,
    ProblemCode.DEVICE_SUSPENDED: HTTPStatus.FORBIDDEN,
    ProblemCode.AGENT_TOO_OLD: HTTPStatus.UPGRADE_REQUIRED,
    ProblemCode.NOT_FOUND: HTTPStatus.NOT_FOUND,
    ProblemCode.METHOD_NOT_ALLOWED: HTTPStatus.METHOD_NOT_ALLOWED,
    ProblemCode.SEQUENCE_CONFLICT: HTTPStatus.CONFLICT,
    ProblemCode.ALREADY_MINTED: HTTPStatus.CONFLICT,
    ProblemCode.QUOTA_SESSIONS: HTTPStatus.TOO_MANY_REQUESTS,
    ProblemCode.QUOTA_MINUTES: HTTPStatus.TOO_MANY_REQUESTS,
    ProblemCode.RATE_LIMITED: HTTPStatus.TOO_MANY_REQUESTS,
    ProblemCode.CONCURRENCY: HTTPStatus.TOO_MANY_REQUESTS,
    ProblemCode.TOO_LARGE: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    ProblemCode.UNSUPPORTED_MEDIA_TYPE: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    ProblemCode.INVALID_REQUEST: HTTPStatus.UNPROCESSABLE_ENTITY,
    ProblemCode.INTERNAL: HTTPStatus.INTERNAL_SERVER_ERROR,
    ProblemCode.OVERLOADED: HTTPStatus.SERVICE_UNAVAILABLE,
    ProblemCode.UPSTREAM_REJECTED: HTTPStatus.BAD_GATEWAY,
    ProblemCode.UPSTREAM_UNAVAILABLE: HTTPStatus.SERVICE_UNAVAILABLE,
    ProblemCode.UPSTREAM_QUOTA: HTTPStatus.SERVICE_UNAVAILABLE,
    ProblemCode.DRAINING: HTTPStatus.SERVICE_UNAVAILABLE,
}


class Problem(KeyNamingAnswer):
    """Body of every answer that is not a success.

    ``code`` is text, not `ProblemCode`: a device meets codes of newer servers.
    """

    type: str = "about:blank"
    title: str = ""
    status: int = 0
    detail: str = ""
    code: Annotated[str, StringConstraints(pattern=r"^[a-z-]{1,40}$")]
    retry_after: Annotated[int, Field(ge=0, le=MAX_RETRY_AFTER)] | None = None
    """Seconds; as in the header ``Retry-After``."""
    last_sequence: SequenceNumber | None = None
    """With ``sequence-conflict``: the highest number accepted of this device."""
