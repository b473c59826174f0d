"""The self-test: once through card, token and Live session, each told by itself."""

import json
import socket
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import pytest

from appliance.cli.commands import selftest
from appliance.cli.commands.selftest import selftest_command
from appliance.config.devices import (
    AlsaMicrophoneSettings,
    AlsaSpeakerSettings,
    NoButtonSettings,
    NoIndicatorSettings,
    WavMicrophoneSettings,
    WavSpeakerSettings,
)
from appliance.config.schema import ProvisioningSettings, Settings
from appliance.core.state import Mode
from appliance.doctor import devices
from appliance.doctor.finding import Finding, Severity
from appliance.errors import ExitCode, InputError, ProvisioningUnreachable, TokenRefused
from appliance.live.ports import LinkConnector, LiveToken, TokenSource
from appliance.provisioning.common.keys import new_private_key, private_key, public_key_text
from appliance.virtual_card.card import Fault
from tests.support.live_service import live_service, saying
from tests.support.virtual_card import PlugIn

pytestmark = pytest.mark.realtime

FILES = Settings(
    microphone=WavMicrophoneSettings(kind="wav", path=Path("a.wav")),
    speaker=WavSpeakerSettings(kind="wav", path=Path("b.wav")),
    indicator=NoIndicatorSettings(kind="none"),
    button=NoButtonSettings(kind="none"),
    provisioning=ProvisioningSettings(
        url="https://127.0.0.1:9",
        device_id="kitchen",
        device_key=new_private_key(),
        server_keys=(public_key_text(private_key(new_private_key())),),
    ),
)


class Tokens:
    """Hands out one token, or fails."""

    def __init__(self, given: LiveToken | Exception) -> None:
        self._given = given

    async def fetch(self, mode: Mode, *, resume: bool) -> LiveToken:
        assert (mode, resume) == (Mode.HANDS_FREE, False)
        if isinstance(self._given, Exception):
            raise self._given
        return self._given

    def track_link(self, token: LiveToken) -> AbstractContextManager[None]:
        return nullcontext()


async def found(tokens: TokenSource, connector: LinkConnector) -> list[Finding]:
    return [finding async for finding in selftest._session(tokens, connector)]


async def test_a_session_is_set_up_and_closed(tmp_path: Path):
    async with live_service(tmp_path, saying()) as service:
        findings = await found(Tokens(service.token()), service.connector())
    assert [(one.name, one.severity) for one in findings] == [
        ("token", Severity.OK),
        ("Live session", Severity.OK),
    ]


async def test_a_service_that_refuses_is_a_problem(tmp_path: Path):
    async def refuse(connection) -> None:
        await connection.close(1008, "Token expired")

    async with live_service(tmp_path, refuse) as service:
        result = await found(Tokens(service.token()), service.connector())
    assert [(one.name, one.severity) for one in result][1:] == [("Live session", Severity.PROBLEM)]


@pytest.mark.parametrize(
    ("error", "advice"),
    [(TokenRefused("no"), "runs the provisioning server"), (ProvisioningUnreachable("no"), "network")],
)
async def test_without_a_token_there_is_no_session(tmp_path: Path, error, advice):
    async with live_service(tmp_path, saying()) as service:
        (finding,) = await found(Tokens(error), service.connector())
    assert (finding.name, finding.severity) == ("token", Severity.PROBLEM)
    assert advice in finding.advice


def test_what_does_not_work_is_exit_4(tmp_path: Path, capsys):
    assert selftest_command(FILES, as_json=True, runtime=tmp_path) == ExitCode.UNFIT
    findings = {finding["name"]: finding["severity"] for finding in json.loads(capsys.readouterr().out)}
    assert findings == {"microphone": "note", "speaker": "note", "token": "problem"}


@pytest.mark.parametrize(
    ("fault", "severity"), [(Fault.FINE, Severity.OK), (Fault.BUSY, Severity.PROBLEM), (Fault.ABSENT, Severity.PROBLEM)]
)
def test_a_card_has_to_open(plug_in: PlugIn, fault, severity):
    plug_in().microphone.fail(fault)
    settings = Settings(
        microphone=AlsaMicrophoneSettings(device="virtual_mic"), speaker=AlsaSpeakerSettings(device="virtual_speaker")
    )
    assert [finding.severity for finding in devices.cards(settings, Severity.PROBLEM)] == [severity, Severity.OK]


def test_a_daemon_that_runs_is_not_disturbed(tmp_path: Path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
        listening.bind(str(tmp_path / "intercom"))
        listening.listen()
        with pytest.raises(InputError, match="systemctl stop appliance") as caught:
            selftest_command(FILES, as_json=True, runtime=tmp_path)
    assert caught.value.exit_code == ExitCode.UNAVAILABLE
