"""Signed requests to a provisioning server and its signed answers, over one HTTPS connection that is kept alive.

An answer counts only with the server's signature, for the very request that it answers. Everything else (no connection,
a captive portal's page, a replayed answer) is as if there were no answer.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import httpx2
from pydantic import ValidationError

from appliance import __version__
from appliance.errors import (
    ClockWrong,
    ProvisioningError,
    ProvisioningUnreachable,
    ServerUntrusted,
)
from appliance.net.tls import client_context
from appliance.provisioning.common import signatures
from appliance.provisioning.common.keys import PrivateKey
from appliance.provisioning.common.protocol import (
    AGENT,
    JSON,
    MAX_ANSWER_BYTES,
    PROBLEM_JSON,
    TRUSTED_KEYS_HEADER,
    KeyNamingAnswer,
    Problem,
    ServerKey,
)
from appliance.provisioning.device.identity import TrustedKeys

Transport = httpx2.AsyncBaseTransport
"""Carries requests instead of the network, in tests."""
CLOCK_OFF_S: Final = 3600.0
"""A clock that differs more than this from the server's is wrong. Certificates are renewed days before they expire."""
_KEPT_ALIVE_S: Final = 60.0
"""Keep-alive time of an unused connection; the server's is longer, so that it closes none under a request."""
_CLOCK_CODES: Final = frozenset({9, 10})
"""OpenSSL's X509_V_ERR_CERT_NOT_YET_VALID and X509_V_ERR_CERT_HAS_EXPIRED."""


class NoAnswer(ProvisioningUnreachable):
    """No answer came in time; the server may have acted on the request all the same."""


@dataclass(frozen=True, slots=True)
class ApiRequest:
    """A request before it is signed; ``path`` is below the server's address."""

    method: str
    path: str
    body: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer as received, not to be trusted before `SignedHttpClient.verify`."""

    status: int
    body: bytes = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    request: signatures.SignedRequest = field(repr=False)

    @property
    def is_success(self) -> bool:
        """Whether the status is 2xx."""
        return self.status // 100 == 2

    @property
    def problem(self) -> Problem | None:
        """The problem details of a failure; None: a success, or a body of another kind."""
        try:
            return None if self.is_success else Problem.model_validate_json(self.body)
        except ValidationError:
            return None

    @property
    def server_keys(self) -> tuple[ServerKey, ...]:
        """The server's keys named in it, if any."""
        try:
            return KeyNamingAnswer.model_validate_json(self.body).server_keys if self.body else ()
        except ValidationError:
            return ()

    @property
    def parameters(self) -> signatures.AnswerParameters | None:
        """The parameters of its signature; None: it is not signed."""
        return signatures.answer_parameters(self.headers)


class SignedHttpClient:
    """Exchanges signed messages with one server; an async context manager, for one request at a time.

    Args:
        url: Address of the server.
        ca_file: Certificates to trust instead of the system's.
        transport: Carries the requests instead of TLS connections, for tests.

    Raises:
        ConfigurationError: The certificates cannot be used.
    """

    def __init__(self, url: str, ca_file: Path | None, transport: Transport | None = None) -> None:
        self.url = url
        self.clock_off_s: float | None = None
        """Seconds by which the server's clock is ahead, by its newest signed answer; None: not known."""
        self._http = httpx2.AsyncClient(
            transport=transport,
            verify=client_context(ca_file, "provisioning.ca_file") if transport is None else False,
            # `time_limit` spans the whole exchange.
            timeout=None,
            limits=httpx2.Limits(max_keepalive_connections=1, keepalive_expiry=_KEPT_ALIVE_S),
            # The environment has no say in where tokens come from.
            trust_env=False,
            headers={
                "user-agent": f"{AGENT}/{__version__}",
                "accept": f"{JSON}, {PROBLEM_JSON}",
                "accept-encoding": "identity",
            },
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()

    @asynccontextmanager
    async def time_limit(self, seconds: float) -> AsyncIterator[None]:
        """Limit the body to ``seconds``; raises NoAnswer after that."""
        try:
            async with asyncio.timeout(seconds):
                yield
        except TimeoutError:
            raise NoAnswer(f"the provisioning server {self.url} did not answer within {seconds:g} s") from None

    async def send(
        self, api_request: ApiRequest, key: PrivateKey, signer: signatures.Signer, known: Iterable[str]
    ) -> Answer:
        """Sign and send one request, and return the answer.

        Args:
            api_request: The request.
            key: This device's key.
            signer: This device, and the request's sequence number.
            known: Thumbprints of the server's keys that this device trusts; the server signs with one of them if it
                can.

        Raises:
            ProvisioningUnreachable: No connection, or an answer that is too long.
            ClockWrong: The server's certificate is not valid at this device's time.
        """
        unsigned = signatures.SignedRequest(api_request.method, f"{self.url}{api_request.path}", {}, api_request.body)
        headers = signatures.sign(unsigned, key, signer, datetime.now(UTC))
        request = signatures.SignedRequest(unsigned.method, unsigned.url, headers, unsigned.body)
        try:
            return await self._exchange(request, {TRUSTED_KEYS_HEADER: ",".join(sorted(known))})
        except (httpx2.RequestError, httpx2.InvalidURL, OSError) as error:
            raise self._unreachable(error) from None

    def verify(self, answer: Answer, trusted: TrustedKeys) -> None:
        """Return if the server signed ``answer``; note the difference of the clocks.

        Raises:
            ProvisioningUnreachable: It is no answer of a provisioning server.
            ServerUntrusted: The answer is signed, by a key that this device does not trust.
        """
        parameters = answer.parameters
        if parameters is None:
            raise self.foreign_answer(answer)
        if parameters.key_id not in trusted:
            raise ServerUntrusted(
                f"{self.url} answers with the key {parameters.key_id[:8]}…, which this device does not trust: it is "
                "another server, or somebody is in between"
            )
        try:
            signed = signatures.SignedAnswer(answer.status, answer.headers, answer.body)
            signatures.verify_answer(signed, answer.request, trusted)
        except signatures.SignatureInvalid:
            raise self.foreign_answer(answer) from None
        self.clock_off_s = parameters.created - datetime.now(UTC).timestamp()

    def foreign_answer(self, answer: Answer) -> ProvisioningUnreachable:
        """Return the error for an answer that is not a provisioning server's."""
        return ProvisioningUnreachable(
            f"{self.url} does not answer like the provisioning server of this device (status {answer.status}): "
            "something in between answers in its device, or provisioning.url is wrong"
        )

    async def _exchange(self, request: signatures.SignedRequest, unsigned: Mapping[str, str]) -> Answer:
        kind = {"content-type": JSON} if request.body else {}
        headers = {**kind, **unsigned, **request.headers}
        async with self._http.stream(request.method, request.url, content=request.body, headers=headers) as response:
            received = bytearray()
            async for chunk in response.aiter_raw():
                received += chunk
                if len(received) > MAX_ANSWER_BYTES:
                    raise ProvisioningUnreachable(f"{self.url} does not answer like a provisioning server: too much")
            # Names are lower case; a repeated header is joined, and fits no signature.
            return Answer(response.status_code, bytes(received), dict(response.headers), request)

    def _unreachable(self, error: Exception) -> ProvisioningError:
        """Return the error for an exchange that failed below HTTP."""
        cause = _certificate_error(error)
        server = f"the provisioning server {self.url}"
        if cause is None:
            return ProvisioningUnreachable(f"{server} cannot be reached ({_root_cause(error)})")
        if cause.verify_code not in _CLOCK_CODES:
            return ProvisioningUnreachable(
                f"{server} has a certificate that is not trusted ({cause.verify_message}): if it is the server's own, "
                "name its CA in provisioning.ca_file"
            )
        if self.clock_off_s is not None and abs(self.clock_off_s) < CLOCK_OFF_S:
            return ProvisioningUnreachable(
                f"{server} has a certificate that is not valid now ({cause.verify_message}), and this device's clock "
                "is right: ask its operator"
            )
        return ClockWrong(
            f"{server} has a certificate that is not valid now ({cause.verify_message}): is this device's clock right?"
        )


def _chain(error: BaseException) -> list[BaseException]:
    """Return ``error`` and its causes, outermost first."""
    chain = [error]
    while (below := chain[-1].__cause__ or chain[-1].__context__) is not None and below not in chain:
        chain.append(below)
    return chain


def _certificate_error(error: BaseException) -> ssl.SSLCertVerificationError | None:
    return next((cause for cause in _chain(error) if isinstance(cause, ssl.SSLCertVerificationError)), None)


def _root_cause(error: BaseException) -> str:
    """Return the message of the innermost system error; it names neither key nor token."""
    system = [cause for cause in _chain(error) if isinstance(cause, OSError) and cause.strerror]
    return str(system[-1].strerror) if system else type(error).__name__
