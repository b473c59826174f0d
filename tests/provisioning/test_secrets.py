"""No token, claim secret or private key is in a log, a repr, an error, the output, or a file that is not the key's.

Everything that a device says to its server is done once, in good and in bad, while all loggers write all they have.
"""

import asyncio
import base64
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from appliance.config.schema import Prefetch, ProvisioningSettings
from appliance.core.state import Mode
from appliance.errors import ApplianceError
from appliance.provisioning.common import keys
from appliance.provisioning.common.join import Join, read_claim, read_join
from appliance.provisioning.common.protocol import ENROL_PATH, DeviceFacts, EnrolRequest, TokenResponse
from appliance.provisioning.common.signatures import SignedAnswer, SignedRequest
from appliance.provisioning.device import identity
from appliance.provisioning.device.enrolment import STATUS_FILE, LocalDevice, enrol, fetch_status, forget, rotate_key
from appliance.provisioning.device.http import Answer, ApiRequest
from appliance.provisioning.device.token_manager import PrefetchedToken, TokenManager
from appliance.storage.jsonfile import JsonFile
from appliance.storage.private_dir import PrivateDirectory
from tests.support.devices import join
from tests.support.provisioning import TOKEN, FakeUpstream, World, answer, plain, world

pytestmark = pytest.mark.realtime
LOUD = ("", "appliance", "httpx2", "httpcore2", "google", "google_genai", "asyncio", "sqlalchemy.engine", "fastapi")


@dataclass
class Watch:
    """Secrets that must be nowhere, and the places where they could be."""

    secrets: set[str] = field(default_factory=set)
    said: list[str] = field(default_factory=list)

    def claim(self, string: Join) -> None:
        self.secrets |= {string.claim.secret, string.text()}

    def keys_of(self, directory: Path) -> None:
        """Watch the private keys that are in a state directory now."""
        for name in PrivateDirectory(directory).names():
            if identity.is_key_file(name):
                pem = (directory / name).read_text()
                raw = keys.device_key(pem).private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
                forms = {base64.b64encode(raw), base64.urlsafe_b64encode(raw), raw.hex().encode()}
                self.secrets |= {form.decode().rstrip("=") for form in forms} | {pem.splitlines()[1]}

    def see(self, *objects: object) -> None:
        self.said += [f"{one!r} {one}" for one in objects]

    def found(self) -> list[str]:
        """Return what was said that holds a secret."""
        return [text for text in self.said if any(secret in text for secret in self.secrets)]


@pytest.fixture
def loud() -> Iterator[list[logging.LogRecord]]:
    """Collect whatever any logger has to say."""
    records: list[logging.LogRecord] = []

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            records.append(record)

    collector = Collector()
    before = {name: logging.getLogger(name).level for name in LOUD}
    for name in LOUD:
        logging.getLogger(name).setLevel(logging.DEBUG)
    logging.getLogger().addHandler(collector)
    yield records
    logging.getLogger().removeHandler(collector)
    for name, level in before.items():
        logging.getLogger(name).setLevel(level)


Mood = Callable[[httpx2.Request, bytes], httpx2.Response]


def in_words(record: logging.LogRecord) -> str:
    formatted = logging.Formatter().format(record)
    return f"{formatted} {record.__dict__!r}"


def files(directory: Path) -> list[str]:
    """Return what every file but the keys' holds, and what it is called."""
    return [
        f"{path.name} {path.read_bytes().decode('latin-1')}"
        for path in directory.rglob("*")
        if path.is_file() and not identity.is_key_file(path.name)
    ]


class Moody(httpx2.AsyncBaseTransport):
    """The line to a server; ``mood`` says who answers instead of it, and ``heard`` holds whatever passed."""

    def __init__(self, here: World) -> None:
        self._here = here
        self.mood: Mood | None = None
        self.heard: list[bytes] = []

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        content = await request.aread()
        self.heard.append(content)
        if self.mood is not None:
            return self.mood(request, content)
        response = await self._here.transport.handle_async_request(request)
        self.heard.append(await response.aread())
        return plain(self.heard[-1], response.status_code, response.headers)


def cut(request: httpx2.Request, content: bytes) -> httpx2.Response:
    raise httpx2.ReadError(f"while {content!r} was sent with {request.headers!r}")


MOODS: dict[str, Mood] = {
    "refuses": lambda request, content: answer(request, {"code": "signature-invalid", "detail": content.decode()}, 401),
    "conflicts": lambda request, content: answer(request, {"code": "sequence-conflict", "last_sequence": 7}, 409),
    "fails": lambda request, content: answer(request, {"code": "internal", "retry_after": 1}, 500),
    "echoes": lambda request, content: plain(content, 200),
    "cuts": cut,
}
LIES: dict[str, Mood] = {
    "gives half": lambda request, content: answer(request, b'{"token": "%s"}' % TOKEN.encode()),
    "gives too old": lambda request, content: answer(
        request,
        {
            "token": TOKEN,
            "model": "m",
            "api_version": "v1",
            "new_session_expires_at": "2026-01-01T00:00:00Z",
            "expires_at": "2026-01-01T00:00:00Z",
            "server_time": "2026-01-02T00:00:00Z",
        },
    ),
}
"""Successes that are none, and yet signed."""


async def bad(line: Moody, watch: Watch, work: Callable[[], Awaitable[object]], moods: Mapping[str, Mood]) -> None:
    """Do it with a server in each mood, and look at what is raised."""
    for line.mood in moods.values():
        with pytest.raises(ApplianceError) as caught:
            await work()
        error: BaseException | None = caught.value
        while error is not None:
            watch.see(error, error.__dict__)
            error = None if error.__suppress_context__ else error.__cause__ or error.__context__
    line.mood = None


async def life(here: World, state: Path, watch: Watch) -> Moody:
    """Enrol, hold a conversation, rotate and forget."""
    line = Moody(here)
    place = LocalDevice(PrivateDirectory(state), ProvisioningSettings(), line)
    string = join(here.claim())
    watch.claim(string)
    watch.see(string, string.claim, place)
    await bad(line, watch, lambda: enrol(place, string, DeviceFacts(), "kitchen"), MOODS | LIES)
    watch.keys_of(state)
    watch.see(await enrol(place, string, DeviceFacts(), "kitchen"), identity.read(place.directory))
    asked = EnrolRequest(claim=string.claim.text(), public_key=keys.jwk(keys.device_key(keys.new_private_key())))
    body = asked.model_dump_json().encode()
    request = SignedRequest("POST", here.settings.host, {}, body)
    watch.see(asked, request, ApiRequest("POST", ENROL_PATH, body), Answer(200, TOKEN.encode(), {}, request))
    watch.see(SignedAnswer(200, {}, TOKEN.encode()))
    await talk(place, line, watch)
    await bad(line, watch, lambda: fetch_status(place), MOODS | LIES)
    await bad(line, watch, lambda: rotate_key(place), MOODS)
    watch.keys_of(state)
    watch.see(await rotate_key(place), await fetch_status(place))
    watch.keys_of(state)
    watch.said += files(state)
    watch.see(await forget(place))
    watch.said += files(state)
    return line


async def talk(place: LocalDevice, line: Moody, watch: Watch) -> None:
    client = place.client()
    store = JsonFile(place.directory.path / STATUS_FILE)
    async with TokenManager(client, Prefetch.ALWAYS, store, lambda _: None, lambda: 0.001) as tokens:
        await asyncio.sleep(0.2)
        token = await tokens.fetch(Mode.HANDS_FREE, resume=False)
        spare = PrefetchedToken(token, Mode.HANDS_FREE)
        with tokens.track_link(token):
            watch.see(tokens, client, client._credentials, client._http, token, spare, tokens.sessions.pending)
            watch.see(tokens.__dict__, client.__dict__, tokens.sessions.__dict__)
        await bad(line, watch, lambda: tokens.fetch(Mode.PUSH_TO_TALK, resume=True), MOODS | LIES)
        watch.said += files(place.directory.path)
    answered = next(body for body in line.heard if TOKEN.encode() in body and body.startswith(b"{"))
    watch.see(TokenResponse.model_validate_json(answered))


async def test_no_secret_is_anywhere_but_where_it_belongs(tmp_path, loud, capfd):
    watch = Watch({TOKEN})
    here = world(FakeUpstream(), devices={})

    asyncio.get_running_loop().set_debug(True)
    line = await life(here, tmp_path, watch)
    watch.said += [in_words(record) for record in loud]
    output = capfd.readouterr()
    watch.said += [output.out, output.err]
    assert watch.found() == []
    # What was looked for has been there to be found.
    assert len(watch.secrets) >= 11
    passed = b"\n".join(line.heard)
    assert TOKEN.encode() in passed
    assert any(secret.encode() in passed for secret in watch.secrets - {TOKEN})
    assert len(loud) > 50
    assert {"appliance", "asyncio", "httpx2"} <= {record.name for record in loud}


@pytest.mark.parametrize("form", [str.lower, str.upper, str])
def test_what_is_not_quite_a_join_string_is_not_quoted(form):
    string = join(world(devices={}).claim())
    for read, text in ((read_join, form(string.text())[:-2]), (read_claim, form(string.claim.text())[:-2] + "!!")):
        with pytest.raises(ValueError, match=r"claim|join string") as caught:
            read(text)
        told = f"{caught.value!r} {caught.value.__cause__!r}"
        assert string.claim.secret not in told
        assert text[8:30] not in told
