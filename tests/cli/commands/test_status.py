"""`appliance status`, asked of a daemon's control socket."""

import asyncio
import json
from pathlib import Path

import pytest

from appliance.cli import main as cli
from appliance.cli.commands.status import duration
from appliance.core.events import Fault
from appliance.core.state import BargeIn, State
from appliance.errors import ExitCode
from appliance.service.control_socket import MAX_RESPONSE_BYTES, ControlResponse
from appliance.service.status import (
    REMEDIES,
    DaemonStatus,
    EchoCancellationStatus,
    FaultStatus,
    SoundCardStatus,
)
from tests.cli.commands.control import serving

pytestmark = pytest.mark.realtime

RESTING = DaemonStatus(
    version="1.2.3",
    running_s=270_000.0,
    state=State.IDLE,
    meaning="ready for the wake word or the button; nothing leaves the device",
    state_s=7980.0,
    cards=(
        SoundCardStatus(direction="microphone", name="USB PnP Sound Device", rate_hz=44_100, scheduling="real-time"),
        SoundCardStatus(direction="speaker", name="vc4-hdmi", rate_hz=48_000, scheduling="real-time"),
    ),
    wake_word="hey_rhasspy",
    barge_in=BargeIn.VOICE,
    barge_in_reason="auto: the echo is cancelled",
    echo=EchoCancellationStatus(
        mode="webrtc", cancelled=True, state="converged", erle_db=31.6, delay_s=0.118, ppm=-12.4
    ),
)


def broken(status: DaemonStatus, *faults: Fault) -> DaemonStatus:
    reason = "the card is gone: " + "x" * 280
    told = tuple(FaultStatus(part=fault, reason=reason, remedy=REMEDIES[fault]) for fault in faults)
    return status.model_copy(update={"state": State.FAULT, "faults": told})


async def show(directory: Path, status: DaemonStatus, *options: str) -> int:
    async with serving(directory, lambda _: None, lambda: status):
        return await asyncio.to_thread(cli.run, ["status", "--runtime", str(directory), *options])


async def test_it_tells_in_words_how_the_daemon_stands(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert await show(tmp_path, RESTING) == ExitCode.OK
    shown = capsys.readouterr().out
    for expected in (
        "idle, for 2 h 13 min",
        "nothing leaves the device",
        "USB PnP Sound Device, 44.1 kHz",
        "32 dB weaker, delay 118 ms, clocks -12 ppm",
        "by speaking",
        "hey_rhasspy",
        "1.2.3, running for 3 days 3 h",
    ):
        assert expected in " ".join(shown.split())


async def test_the_table_fits_a_terminal_even_if_everything_is_broken(tmp_path, capsys: pytest.CaptureFixture[str]):
    assert await show(tmp_path, broken(RESTING, *Fault)) == ExitCode.UNFIT
    lines = capsys.readouterr().out.splitlines()
    assert max(len(line.rstrip()) for line in lines) <= 80
    assert all(fault.value in " ".join(lines) for fault in Fault)


async def test_programs_get_the_same_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    status = broken(RESTING, Fault.SPEAKER)
    assert await show(tmp_path, status, "--json") == ExitCode.UNFIT
    document = json.loads(capsys.readouterr().out)
    assert DaemonStatus.model_validate(document) == status
    assert document["echo"]["erle_db"] == 31.6


@pytest.mark.parametrize(
    "echo", [EchoCancellationStatus(mode=mode, cancelled=mode == "off") for mode in ("webrtc", "half-duplex", "off")]
)
async def test_an_appliance_without_canceller_or_cards_is_told_too(tmp_path, capsys, echo):
    status = RESTING.model_copy(update={"echo": echo, "cards": (), "wake_word": None, "barge_in_reason": ""})
    assert await show(tmp_path, status) == ExitCode.OK
    assert "use the button" in capsys.readouterr().out


async def test_speaking_is_not_promised_while_the_echo_is_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    echo = EchoCancellationStatus(mode="webrtc", cancelled=False, state="cold")
    assert await show(tmp_path, RESTING.model_copy(update={"echo": echo})) == ExitCode.OK
    assert "by the wake word or the button; by speaking once" in " ".join(capsys.readouterr().out.split())
    nothing = EchoCancellationStatus(mode="half-duplex", cancelled=False)
    assert await show(tmp_path, RESTING.model_copy(update={"echo": nothing})) == ExitCode.OK
    assert "by speaking" not in capsys.readouterr().out


def test_without_a_daemon_it_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert cli.run(["status", "--runtime", str(tmp_path)]) == ExitCode.NO_INPUT
    assert "no appliance is running" in capsys.readouterr().err


async def test_a_daemon_of_another_version_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.write(ControlResponse(why_not="the request is invalid").model_dump_json().encode())
        writer.close()

    async with await asyncio.start_unix_server(refuse, tmp_path / "intercom"):
        code = await asyncio.to_thread(cli.run, ["status", "--runtime", str(tmp_path)])
    assert code == ExitCode.UNAVAILABLE
    assert capsys.readouterr().err.count("\n") == 1


def test_the_longest_status_fits_the_response():
    status = broken(RESTING, *Fault)
    assert len(ControlResponse(status=status).model_dump_json().encode()) < MAX_RESPONSE_BYTES / 4


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.4, "0 s"), (61, "1 min 1 s"), (3600, "1 h"), (86_400, "1 day"), (176_461.0, "2 days 1 h")]
)
def test_a_time_is_told_in_its_two_largest_units(seconds: float, words: str):
    assert duration(seconds) == words
