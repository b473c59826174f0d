"""The wire protocol between a device and the provisioning server, version 1: what both halves agree on.

JSON in UTF-8 over HTTPS; every request is signed (`signing.py`); errors are problem details (RFC 9457). A device
ignores fields of an answer that it does not know; the server refuses unknown fields of a request.
"""

from collections.abc import Mapping
from enum import StrEnum
from http import HTTPStatus
from typing import Annotated, Final

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, SecretStr, StringConstraints, field_serializer

TOKENS_PATH: Final = "/v1/tokens"
JSON: Final = "application/json"
PROBLEM_JSON: Final = "application/problem+json"
MAX_REQUEST_BYTES: Final = 8 * 1024
"""Bound of a request's body; the server looks no further."""
MAX_ANSWER_BYTES: Final = 64 * 1024
"""Bound of an answer's body; the device looks no further."""
MAX_SEQUENCE: Final = 10**15 - 1
"""Bound of a sequence number: fifteen digits, as many as a structured-field integer has (RFC 9651)."""

DeviceId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{1,64}$")]
HttpsUrl = Annotated[
    str, StringConstraints(pattern=r"^https://([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?(/[A-Za-z0-9._~/-]*)?$")
]
"""A host, a port, a path: no user name, no query."""
SequenceNumber = Annotated[int, Field(ge=0, le=MAX_SEQUENCE)]


class TokenMode(StrEnum):
    """What opens the session."""

    WAKE = "wake"
    PTT = "ptt"


class Purpose(StrEnum):
    """What the token is for; it decides how long a session may be begun with it."""

    NEW = "new"
    RESUME = "resume"
    PREFETCH = "prefetch"


class TokenRequest(BaseModel):
    """Body of ``POST /v1/tokens``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    mode: TokenMode
    purpose: Purpose
    profile: Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]{1,32}$")] = "default"


class Effective(BaseModel):
    """What the token locks of a session's set-up; None: the device chooses."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    voice: str | None = None
    language: str | None = None


class TokenResponse(BaseModel):
    """Answer to ``POST /v1/tokens``. Its repr masks the token; its JSON holds it."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    token: SecretStr = Field(min_length=1)
    model: str = Field(min_length=1)
    api_version: Annotated[str, StringConstraints(pattern=r"^v[0-9a-z]{1,16}$")]
    base_url: HttpsUrl | None = None
    """Where the Live service is; None: Google's own address."""
    new_session_expires_at: AwareDatetime
    expires_at: AwareDatetime
    server_time: AwareDatetime
    """The clock that the two times above are measured by."""
    effective: Effective = Effective()

    @field_serializer("token", when_used="json")
    def _plain(self, token: SecretStr) -> str:
        return token.get_secret_value()


class ProblemCode(StrEnum):
    """Every reason for which the server does not do what it was asked."""

    MALFORMED = "malformed"
    SIGNATURE_INVALID = "signature-invalid"
    """The one answer for an unknown device, a wrong key and a signature that is none: nobody learns which."""
    NOT_FOUND = "not-found"
    METHOD_NOT_ALLOWED = "method-not-allowed"
    SEQUENCE_CONFLICT = "sequence-conflict"
    """The number was used before; told only after a valid signature, with the last number that counted."""
    TOO_LARGE = "too-large"
    UNSUPPORTED_MEDIA_TYPE = "unsupported-media-type"
    INVALID_REQUEST = "invalid-request"
    INTERNAL = "internal"
    UPSTREAM_REJECTED = "upstream-rejected"
    """The service refuses the server's API key, or what it was asked for."""
    UPSTREAM_UNAVAILABLE = "upstream-unavailable"
    UPSTREAM_QUOTA = "upstream-quota"


STATUS: Final[Mapping[ProblemCode, HTTPStatus]] = {
    ProblemCode.MALFORMED: HTTPStatus.BAD_REQUEST,
    ProblemCode.SIGNATURE_INVALID: HTTPStatus.UNAUTHORIZED,
    ProblemCode.NOT_FOUND: HTTPStatus.NOT_FOUND,
    ProblemCode.METHOD_NOT_ALLOWED: HTTPStatus.METHOD_NOT_ALLOWED,
    ProblemCode.SEQUENCE_CONFLICT: HTTPStatus.CONFLICT,
    ProblemCode.TOO_LARGE: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    ProblemCode.UNSUPPORTED_MEDIA_TYPE: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    ProblemCode.INVALID_REQUEST: HTTPStatus.UNPROCESSABLE_ENTITY,
    ProblemCode.INTERNAL: HTTPStatus.INTERNAL_SERVER_ERROR,
    ProblemCode.UPSTREAM_REJECTED: HTTPStatus.BAD_GATEWAY,
    ProblemCode.UPSTREAM_UNAVAILABLE: HTTPStatus.SERVICE_UNAVAILABLE,
    ProblemCode.UPSTREAM_QUOTA: HTTPStatus.SERVICE_UNAVAILABLE,
}


class Problem(BaseModel):
    """Body of every answer that is not a success.

    ``code`` is text, not `ProblemCode`: a device meets codes of newer servers.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    type: str = "about:blank"
    title: str = ""
    status: int = 0
    detail: str = ""
    code: Annotated[str, StringConstraints(pattern=r"^[a-z-]{1,40}$")]
    retry_after: Annotated[int, Field(ge=0, le=86_400)] | None = None
    """Seconds; as in the header ``Retry-After``."""
    last_sequence: SequenceNumber | None = None
    """With ``sequence-conflict``: the highest number accepted of this device."""
