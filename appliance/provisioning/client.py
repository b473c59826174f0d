"""Fetches Live tokens from the provisioning server: the device half. Implements `live.ports.TokenSource`.

Signs every request, keeps one connection open between conversations, and says in one line what is wrong when there is
no token. Tokens stay in memory.
"""

import asyncio
import ssl
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import httpx2
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import TypeAdapter, ValidationError

from appliance import __version__
from appliance.core.state import Mode
from appliance.errors import ConfigurationError, ProvisioningError, ProvisioningUnreachable
from appliance.live.ports import LiveToken
from appliance.provisioning import signing
from appliance.provisioning.protocol import (
    JSON,
    MAX_ANSWER_BYTES,
    PROBLEM_JSON,
    TOKENS_PATH,
    DeviceId,
    HttpsUrl,
    Problem,
    ProblemCode,
    Purpose,
    TokenMode,
    TokenRequest,
    TokenResponse,
)
from appliance.provisioning.reactions import refusal
from appliance.provisioning.sequence import SequenceCounter
from appliance.settings import Provisioning
from appliance.units import Seconds

_KEPT_ALIVE_S: Final = 60.0
"""How long an unused connection is kept; the server keeps it longer, so that it is not closed under a request."""
_CLOCK_CODES: Final = frozenset({9, 10})
"""OpenSSL's X509_V_ERR_CERT_NOT_YET_VALID and X509_V_ERR_CERT_HAS_EXPIRED."""
_MODES: Final = {Mode.HANDS_FREE: TokenMode.WAKE, Mode.PUSH_TO_TALK: TokenMode.PTT}


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    content_type: str
    body: bytes = field(repr=False)


class ProvisioningClient:
    """One device's line to its provisioning server; an async context manager.

    Args:
        settings: Address, identity and trust.
        state_dir: Where the sequence number outlives a restart; None: the server is asked for it.
        transport: What carries the requests; None: TLS connections of its own.

    Raises:
        ConfigurationError: The address is not https, or the key or the certificates cannot be used.
    """

    def __init__(
        self, settings: Provisioning, state_dir: Path | None, transport: httpx2.AsyncBaseTransport | None = None
    ) -> None:
        self._server = _checked_url(settings.url)
        self._device_id = _checked_device_id(settings.device_id)
        self._key = _device_key(settings)
        self._timeout_s = settings.timeout_s
        self._sequence = SequenceCounter(state_dir)
        # Sequence numbers have to arrive in order.
        self._in_order = asyncio.Lock()
        self._http = httpx2.AsyncClient(
            transport=transport,
            verify=_tls_context(settings.ca_file),
            # One time-out spans the whole exchange.
            timeout=None,
            limits=httpx2.Limits(max_keepalive_connections=1, keepalive_expiry=_KEPT_ALIVE_S),
            # The environment has no say in where tokens come from.
            trust_env=False,
            headers={"user-agent": f"voice-appliance/{__version__}", "accept": f"{JSON}, {PROBLEM_JSON}"},
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()

    async def fetch(self, mode: Mode, *, resume: bool) -> LiveToken:
        """Return a new token, within ``provisioning.timeout_s``.

        Raises:
            ProvisioningUnreachable: No connection, no answer in time, one that says "not now", or none of the protocol.
            TokenRefused: The server does not give this device a token.
        """
        purpose = Purpose.RESUME if resume else Purpose.NEW
        body = TokenRequest(mode=_MODES[mode], purpose=purpose).model_dump_json().encode()
        try:
            async with asyncio.timeout(self._timeout_s), self._in_order:
                return await self._fetch(body)
        except TimeoutError:
            raise ProvisioningUnreachable(
                f"the provisioning server {self._server} did not answer within {self._timeout_s:g} s"
            ) from None
        except (httpx2.RequestError, httpx2.InvalidURL, OSError) as error:
            raise self._unreachable(error) from None

    async def _fetch(self, body: bytes) -> LiveToken:
        sent_at = _now()
        answer = await self._post(body)
        last = _conflicting(answer)
        if last is not None:
            # The server remembers a higher number: this device has lost its own. Once more, above it.
            self._sequence.go_above(last)
            sent_at = _now()
            answer = await self._post(body)
        if answer.status != httpx2.codes.OK:
            raise refusal(answer.status, _problem(answer), self._server, self._device_id)
        return self._token(answer, sent_at)

    async def _post(self, body: bytes) -> _Answer:
        request = signing.SignedRequest("POST", f"{self._server}{TOKENS_PATH}", {}, body)
        signer = signing.Signer(self._device_id, self._sequence.take())
        headers = {"content-type": JSON, **signing.sign(request, self._key, signer, datetime.now(UTC))}
        async with self._http.stream("POST", request.url, content=body, headers=headers) as response:
            received = bytearray()
            async for chunk in response.aiter_bytes():
                received += chunk
                if len(received) > MAX_ANSWER_BYTES:
                    raise ProvisioningUnreachable(f"{self._server} does not answer like a provisioning server")
            kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
            return _Answer(response.status_code, kind, bytes(received))

    def _token(self, answer: _Answer, sent_at: Seconds) -> LiveToken:
        """Read a token. Its times count from when it was asked for: it is never believed to live longer than it does.

        Only differences of the server's times are used, so that the device's wall clock does not matter.
        """
        try:
            response = TokenResponse.model_validate_json(answer.body)
        except ValidationError:
            # The reason would quote the answer, and with it the token.
            raise ProvisioningUnreachable(
                f"{self._server} does not answer like a provisioning server of this version"
            ) from None
        new_session_s = (response.new_session_expires_at - response.server_time).total_seconds()
        lifetime_s = (response.expires_at - response.server_time).total_seconds()
        if not 0 < new_session_s <= lifetime_s:
            raise ProvisioningUnreachable(f"{self._server} gave a token that has expired already")
        return LiveToken(
            value=response.token.get_secret_value(),
            model=response.model,
            api_version=response.api_version,
            base_url=response.base_url,
            session_from=_now(),
            new_session_until=Seconds(sent_at + new_session_s),
            expires_at=Seconds(sent_at + lifetime_s),
        )

    def _unreachable(self, error: Exception) -> ProvisioningError:
        """Return what an exchange that broke off means."""
        cause = _certificate_error(error)
        if cause is None:
            reason = f"cannot be reached ({_root(error)})"
        elif cause.verify_code in _CLOCK_CODES:
            reason = f"has a certificate that is not valid now ({cause.verify_message}): is this device's clock right?"
        else:
            reason = (
                f"has a certificate that is not trusted ({cause.verify_message}): if it is the server's own, "
                "name its CA in provisioning.ca_file"
            )
        return ProvisioningUnreachable(f"the provisioning server {self._server} {reason}")


def _now() -> Seconds:
    return Seconds(asyncio.get_running_loop().time())


def _problem(answer: _Answer) -> Problem | None:
    """Return the problem that an answer tells of; None where it is no problem details."""
    if answer.content_type != PROBLEM_JSON:
        return None
    try:
        return Problem.model_validate_json(answer.body)
    except ValidationError:
        return None


def _conflicting(answer: _Answer) -> int | None:
    """Return the server's last sequence number if it refused this one."""
    problem = _problem(answer)
    return problem.last_sequence if problem and problem.code == ProblemCode.SEQUENCE_CONFLICT else None


def _chain(error: BaseException) -> list[BaseException]:
    """Return ``error`` and what it was raised for, outermost first."""
    chain = [error]
    while (below := chain[-1].__cause__ or chain[-1].__context__) is not None and below not in chain:
        chain.append(below)
    return chain


def _certificate_error(error: BaseException) -> ssl.SSLCertVerificationError | None:
    return next((cause for cause in _chain(error) if isinstance(cause, ssl.SSLCertVerificationError)), None)


def _root(error: BaseException) -> str:
    """Return the innermost system error's words; they name neither key nor token."""
    system = [cause for cause in _chain(error) if isinstance(cause, OSError) and cause.strerror]
    return str(system[-1].strerror) if system else type(error).__name__


def _checked_url(url: str) -> str:
    try:
        return TypeAdapter(HttpsUrl).validate_python(url).rstrip("/")
    except ValidationError:
        raise ConfigurationError("provisioning.url: has to be an https address, without user name or query") from None


def _checked_device_id(device_id: str) -> str:
    try:
        return TypeAdapter(DeviceId).validate_python(device_id)
    except ValidationError:
        raise ConfigurationError(
            "provisioning.device_id: has to be 1 to 64 letters, digits, dots, dashes and underscores"
        ) from None


def _device_key(settings: Provisioning) -> Ed25519PrivateKey:
    try:
        if settings.device_key is not None:
            return signing.private_key(settings.device_key.get_secret_value())
        if settings.device_key_file is not None:
            return signing.private_key(settings.device_key_file.read_text(encoding="ascii"))
    except OSError as error:
        raise ConfigurationError(
            f"provisioning.device_key_file: {settings.device_key_file} cannot be read: {error.strerror}"
        ) from error
    except ValueError:
        raise ConfigurationError("provisioning.device_key: not an unencrypted Ed25519 private key in PEM") from None
    raise ConfigurationError("provisioning.device_key: missing; the server knows this device by its key")


def _tls_context(ca_file: Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file)
    except OSError as error:
        raise ConfigurationError(f"provisioning.ca_file: {ca_file} cannot be used as certificates: {error}") from error
