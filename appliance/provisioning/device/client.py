"""Speaks with the provisioning server as a device that has enrolled.

Every request has the next number, and requests go out one after the other: a number that arrives late looks like a
second device with the same key. Tokens stay in memory.
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
from appliance.config.schema import Provisioning
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
from appliance.provisioning.device.error_policy import refusal
from appliance.provisioning.device.http import CLOCK_OFF_S, Answer, SignedHttpClient, Target, Transport
from appliance.provisioning.device.identity import Credentials, credentials, trusted, write
from appliance.provisioning.device.sequence import SequenceCounter
from appliance.storage.private_dir import DEFAULT, PrivateDirectory
from appliance.units import Seconds

_NUMBERS: Final = frozenset({ProblemCode.SEQUENCE_CONFLICT.value, ProblemCode.ALREADY_MINTED.value})
_MODES: Final = {Mode.HANDS_FREE: TokenMode.WAKE, Mode.PUSH_TO_TALK: TokenMode.PTT}


class ProvisioningClient:
    """One device's line to its provisioning server; an async context manager, for one event loop.

    Args:
        settings: Address, identity and trust, as far as enrolment has not left them in ``state``.
        state: The state directory; None: the settings say it all, and the number does not outlive a restart, or else
            where the unit has it.
        transport: What carries the requests; None: TLS connections of its own.

    Raises:
        ConfigurationError: This device is not enrolled, or address, key or certificates cannot be used.
    """

    def __init__(self, settings: Provisioning, state: Path | None, transport: Transport | None = None) -> None:
        directory = PrivateDirectory(state or DEFAULT)
        self._own: Credentials = credentials(settings, directory)
        self._directory = directory if state or self._own.identity else None
        self._timeout_s = settings.timeout_s
        self._exchange = SignedHttpClient(self._own.url, settings.ca_file, transport)
        self._sequence = SequenceCounter(None)
        self._in_order = asyncio.Lock()
        self._stack = AsyncExitStack()
        self._told_clock = False
        # Only what outlives a restart: the server drops its other keys for it.
        self._lasting = frozenset(self._own.trusted)
        self.quota: Quota | None = None
        """The quota that is left, as the server last reported it."""

    async def __aenter__(self) -> Self:
        """Raises InputError where another program uses the identity."""
        async with AsyncExitStack() as stack:
            if self._directory is not None:
                stack.enter_context(self._directory.locked())
                self._sequence = SequenceCounter(self._directory)
            await stack.enter_async_context(self._exchange)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    @property
    def device_id(self) -> str:
        """What the server calls this device."""
        return self._own.device_id

    @property
    def url(self) -> str:
        """Where the server is."""
        return self._own.url

    async def fetch_token(self, mode: Mode, purpose: Purpose, timeout_s: float | None = None) -> LiveToken:
        """Return a new token, within ``timeout_s`` (None: ``provisioning.timeout_s``).

        Raises:
            ProvisioningUnreachable: No connection, no answer in time, one that says "not now", or none of the server.
            TokenRefused: The server does not give this device a token.
        """
        asked = TokenRequest(mode=_MODES[mode], purpose=purpose)
        answer, sent_at = await self._ask(_target("POST", TOKENS_PATH, asked), timeout_s or self._timeout_s)
        return self._token(answer, sent_at)

    async def standing(self, patience_s: float) -> DeviceView:
        """Ask how this device stands; raises ProvisioningError."""
        answer, _ = await self._ask(_target("GET", DEVICE_PATH), patience_s)
        try:
            view = DeviceView.model_validate_json(answer.body)
        except ValidationError:
            raise self._exchange.strange(answer) from None
        self.quota = view.quota or self.quota
        return view

    async def report(self, session_id: str, event: SessionEvent, patience_s: float) -> None:
        """Tell what became of a session, which changes what is left; raises ProvisioningError."""
        told = _target("POST", SESSION_EVENTS_PATH.format(session_id=session_id), event)
        answer, _ = await self._ask(told, patience_s)
        with suppress(ValidationError):  # an older server answers with nothing
            self.quota = SessionEventResponse.model_validate_json(answer.body).quota

    async def announce(self, new: keys.PrivateKey) -> None:
        """Have the server take ``new`` for this device's next key; raises ProvisioningError."""
        await self._ask(_Rotation(self._own, new), self._timeout_s)

    async def leave(self) -> None:
        """Have the server forget this device for ever; raises ProvisioningError."""
        await self._ask(_target("DELETE", DEVICE_PATH), self._timeout_s)

    async def _ask(self, wanted: "Target | _Rotation", patience_s: float) -> tuple[Answer, Seconds]:
        """Return the server's answer, and when it was asked for; raises ProvisioningError where it is no success."""
        async with self._exchange.patience(patience_s), self._in_order:
            answer, sent_at = await self._send(wanted)
            if self._goes_on(answer):
                answer, sent_at = await self._send(wanted)
        if not answer.is_success:
            raise refusal(answer.status, answer.problem, self.url, self.device_id)
        return answer, sent_at

    async def _send(self, wanted: "Target | _Rotation") -> tuple[Answer, Seconds]:
        number = self._sequence.take()
        target = wanted.target(number) if isinstance(wanted, _Rotation) else wanted
        sent_at = loop_time()
        answer = await self._exchange.ask(target, self._own.key, Signer(self.device_id, number), self._lasting)
        self._exchange.check(answer, self._own.trusted)
        self._trust(answer.server_keys)
        self._tell_clock()
        return answer, sent_at

    def _goes_on(self, answer: Answer) -> bool:
        """Return whether only the number was wrong: this device has lost its own, or an answer was lost."""
        problem = answer.problem
        if problem is None or problem.code not in _NUMBERS:
            return False
        self._sequence.go_above(problem.last_sequence or 0)
        return True

    def _tell_clock(self) -> None:
        off_s = self._exchange.clock_off_s or 0.0
        if abs(off_s) >= CLOCK_OFF_S and not self._told_clock:
            log.event("provisioning.clock-wrong", level="warning", off_s=round(off_s))
        self._told_clock = abs(off_s) >= CLOCK_OFF_S

    def _trust(self, server_keys: tuple[ServerKey, ...]) -> None:
        """Trust the keys that a signed answer names instead of those before, and remember them."""
        own, named = self._own, trusted(server_keys)
        if own.identity is None or self._directory is None or server_keys == own.identity.server_keys:
            return
        if set(own.trusted) != set(trusted(own.identity.server_keys)) or not set(own.trusted) & set(named):
            return  # the settings say whom to trust, or the server would lock itself out
        identity = own.identity.model_copy(update={"server_keys": server_keys})
        try:
            write(self._directory, identity)
            self._lasting = frozenset(named)
        except ConfigurationError as error:
            log.event("provisioning.unwritable", level="warning", reason=str(error))
        self._own = replace(own, trusted=named, identity=identity)
        log.event("provisioning.server-keys", count=len(named))

    def _token(self, answer: Answer, sent_at: Seconds) -> LiveToken:
        """Read a token. Its times count from when it was asked for: it is never believed to live longer than it does.

        Only differences of the server's times are used, so that the device's wall clock does not matter.
        """
        try:
            response = TokenResponse.model_validate_json(answer.body)
        except ValidationError:
            # The reason would quote the answer, and with it the token.
            raise self._exchange.strange(answer) from None
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


class _Rotation:
    """The request for another key: its proof holds the number that it is sent with."""

    def __init__(self, own: Credentials, new: keys.PrivateKey) -> None:
        self._own = own
        self._new = new

    def target(self, number: int) -> Target:
        old, new = keys.thumbprint(self._own.key), keys.thumbprint(self._new)
        text = keys.rotation_text(self._own.device_id, old, new, number)
        proof = base64.b64encode(keys.sign_bytes(self._new, text)).decode("ascii")
        return _target("POST", ROTATE_PATH, RotateRequest(public_key=keys.jwk(self._new), proof=proof))


def _target(method: str, path: str, body: BaseModel | None = None) -> Target:
    return Target(method, path, b"" if body is None else body.model_dump_json(exclude_none=True).encode())
