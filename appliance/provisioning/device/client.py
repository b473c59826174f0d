"""The provisioning server's API, for a device that has enrolled.

Every request has the next sequence number, and requests go out one after the other: a number that arrives late looks
like a second device with the same key. Tokens stay in memory.
"""

import asyncio
import base64
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from pydantic import BaseModel, ValidationError

from appliance import log
from appliance.clock import loop_time
from appliance.config.schema import ProvisioningSettings
from appliance.core.state import Mode
from appliance.errors import ConfigurationError, ProvisioningUnreachable
from appliance.live.ports import LiveToken, Locks
from appliance.provisioning.common import keys
from appliance.provisioning.common.protocol import (
    DEVICE_PATH,
    ROTATE_PATH,
    SESSION_EVENTS_PATH,
    TOKENS_PATH,
    DeviceView,
    ProblemCode,
    Purpose,
    Quota,
    RotateRequest,
    ServerKey,
    SessionEvent,
    SessionEventResponse,
    TokenMode,
    TokenRequest,
    TokenResponse,
)
from appliance.provisioning.common.signatures import Signer
from appliance.provisioning.device.error_policy import error_for
from appliance.provisioning.device.http import CLOCK_OFF_S, Answer, ApiRequest, SignedHttpClient, Transport
from appliance.provisioning.device.identity import Credentials, load_credentials, trusted_keys, write
from appliance.provisioning.device.sequence import SequenceCounter
from appliance.storage.private_dir import DEFAULT, PrivateDirectory
from appliance.units import Seconds

_SEQUENCE_PROBLEMS: Final = frozenset({ProblemCode.SEQUENCE_CONFLICT.value, ProblemCode.ALREADY_MINTED.value})
_MODES: Final = {Mode.HANDS_FREE: TokenMode.WAKE, Mode.PUSH_TO_TALK: TokenMode.PTT}


class ProvisioningClient:
    """Sends the requests of one device; an async context manager, for one event loop.

    Args:
        settings: Override the address, the identity and the server's keys that enrolment has left in ``state``.
        state: The state directory; None: systemd's where there is an identity in it, else none, and the sequence
            number does not outlive a restart.
        transport: Carries the requests instead of TLS connections, for tests.

    Raises:
        ConfigurationError: This device is not enrolled, or address, key or certificates cannot be used.
    """

    def __init__(self, settings: ProvisioningSettings, state: Path | None, transport: Transport | None = None) -> None:
        directory = PrivateDirectory(state or DEFAULT)
        self._credentials: Credentials = load_credentials(settings, directory)
        self._directory = directory if state or self._credentials.identity else None
        self._timeout_s = settings.timeout_s
        self._http = SignedHttpClient(self._credentials.url, settings.ca_file, transport)
        self._sequence = SequenceCounter(None)
        self._lock = asyncio.Lock()
        self._stack = AsyncExitStack()
        self._clock_logged = False
        # Only stored keys are reported: the server drops its others on the strength of them.
        self._stored_keys = frozenset(self._credentials.trusted)
        self.quota: Quota | None = None
        """The quota that is left, as the server last reported it."""

    async def __aenter__(self) -> Self:
        """Raises InputError where another program uses the identity."""
        async with AsyncExitStack() as stack:
            if self._directory is not None:
                stack.enter_context(self._directory.locked())
                self._sequence = SequenceCounter(self._directory)
            await stack.enter_async_context(self._http)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    @property
    def device_id(self) -> str:
        """The server's name of this device."""
        return self._credentials.device_id

    @property
    def url(self) -> str:
        """The address of the server."""
        return self._credentials.url

    async def fetch_token(self, mode: Mode, purpose: Purpose, timeout_s: float | None = None) -> LiveToken:
        """Return a new token, within ``timeout_s`` (None: ``provisioning.timeout_s``).

        Raises:
            ProvisioningUnreachable: No connection, no answer in time, one that says "not now", or none of the server.
            TokenRefused: The server does not give this device a token.
        """
        asked = TokenRequest(mode=_MODES[mode], purpose=purpose)
        answer, sent_at = await self._request(_api_request("POST", TOKENS_PATH, asked), timeout_s or self._timeout_s)
        return self._parse_token(answer, sent_at)

    async def fetch_status(self, timeout_s: float) -> DeviceView:
        """Return the server's view of this device; raises ProvisioningError."""
        answer, _ = await self._request(_api_request("GET", DEVICE_PATH), timeout_s)
        try:
            view = DeviceView.model_validate_json(answer.body)
        except ValidationError:
            raise self._http.foreign_answer(answer) from None
        self.quota = view.quota or self.quota
        return view

    async def report_session(self, session_id: str, event: SessionEvent, timeout_s: float) -> None:
        """Report an event of a session, which changes the quota; raises ProvisioningError."""
        request = _api_request("POST", SESSION_EVENTS_PATH.format(session_id=session_id), event)
        answer, _ = await self._request(request, timeout_s)
        with suppress(ValidationError):  # an older server answers with nothing
            self.quota = SessionEventResponse.model_validate_json(answer.body).quota

    async def announce_key(self, new: keys.PrivateKey) -> None:
        """Announce ``new`` as this device's next key; raises ProvisioningError."""
        await self._request(_RotationRequest(self._credentials, new), self._timeout_s)

    async def delete_device(self) -> None:
        """Delete this device on the server; raises ProvisioningError."""
        await self._request(_api_request("DELETE", DEVICE_PATH), self._timeout_s)

    async def _request(self, request: "ApiRequest | _RotationRequest", timeout_s: float) -> tuple[Answer, Seconds]:
        """Return the server's answer, and when it was asked for; raises ProvisioningError unless it is a success."""
        async with self._http.time_limit(timeout_s), self._lock:
            answer, sent_at = await self._send_signed(request)
            if self._resync_sequence(answer):
                answer, sent_at = await self._send_signed(request)
        if not answer.is_success:
            raise error_for(answer.status, answer.problem, self.url, self.device_id)
        return answer, sent_at

    async def _send_signed(self, request: "ApiRequest | _RotationRequest") -> tuple[Answer, Seconds]:
        number = self._sequence.next()
        target = request.target(number) if isinstance(request, _RotationRequest) else request
        sent_at = loop_time()
        answer = await self._http.send(target, self._credentials.key, Signer(self.device_id, number), self._stored_keys)
        self._http.verify(answer, self._credentials.trusted)
        self._update_trusted_keys(answer.server_keys)
        self._log_clock()
        return answer, sent_at

    def _resync_sequence(self, answer: Answer) -> bool:
        """Go on above the server's sequence number; return whether only ours was wrong, as it or an answer was lost."""
        problem = answer.problem
        if problem is None or problem.code not in _SEQUENCE_PROBLEMS:
            return False
        self._sequence.advance_past(problem.last_sequence or 0)
        return True

    def _log_clock(self) -> None:
        off_s = self._http.clock_off_s or 0.0
        if abs(off_s) >= CLOCK_OFF_S and not self._clock_logged:
            log.event("provisioning.clock-wrong", level="warning", off_s=round(off_s))
        self._clock_logged = abs(off_s) >= CLOCK_OFF_S

    def _update_trusted_keys(self, server_keys: tuple[ServerKey, ...]) -> None:
        """Trust the keys that a signed answer names instead of those before, and store them."""
        own, named = self._credentials, trusted_keys(server_keys)
        if own.identity is None or self._directory is None or server_keys == own.identity.server_keys:
            return
        if set(own.trusted) != set(trusted_keys(own.identity.server_keys)) or not set(own.trusted) & set(named):
            return  # the settings name the keys, or the server would lock itself out
        identity = own.identity.model_copy(update={"server_keys": server_keys})
        try:
            write(self._directory, identity)
            self._stored_keys = frozenset(named)
        except ConfigurationError as error:
            log.event("provisioning.unwritable", level="warning", reason=str(error))
        self._credentials = replace(own, trusted=named, identity=identity)
        log.event("provisioning.server-keys", count=len(named))

    def _parse_token(self, answer: Answer, sent_at: Seconds) -> LiveToken:
        """Read a token. Its times count from the request, so that it is never used after it has expired.

        Only differences of the server's times are used: the device's wall clock does not matter.
        """
        try:
            response = TokenResponse.model_validate_json(answer.body)
        except ValidationError:
            # The reason would quote the token.
            raise self._http.foreign_answer(answer) from None
        new_session_s = (response.new_session_expires_at - response.server_time).total_seconds()
        lifetime_s = (response.expires_at - response.server_time).total_seconds()
        if not 0 < new_session_s <= lifetime_s:
            raise ProvisioningUnreachable(f"{self.url} gave a token that has expired already")
        self.quota = response.quota
        effective = response.effective
        return LiveToken(
            value=response.token.get_secret_value(),
            model=response.model,
            api_version=response.api_version,
            base_url=response.base_url,
            session_from=loop_time(),
            new_session_until=Seconds(sent_at + new_session_s),
            expires_at=Seconds(sent_at + lifetime_s),
            session_id=response.session_id,
            locks=Locks(
                voice=effective.voice,
                language=effective.language,
                tools=None if effective.tools is None else frozenset(effective.tools),
                tag=effective.config_etag or "",
            ),
        )


class _RotationRequest:
    """A key rotation: its proof signs the sequence number that the request is sent with."""

    def __init__(self, own: Credentials, new: keys.PrivateKey) -> None:
        self._credentials = own
        self._new = new

    def target(self, number: int) -> ApiRequest:
        old, new = keys.thumbprint(self._credentials.key), keys.thumbprint(self._new)
        text = keys.rotation_text(self._credentials.device_id, old, new, number)
        proof = base64.b64encode(keys.sign_bytes(self._new, text)).decode("ascii")
        return _api_request("POST", ROTATE_PATH, RotateRequest(public_key=keys.jwk(self._new), proof=proof))


def _api_request(method: str, path: str, body: BaseModel | None = None) -> ApiRequest:
    return ApiRequest(method, path, b"" if body is None else body.model_dump_json(exclude_none=True).encode())
