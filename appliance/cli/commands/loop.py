"""The `appliance doctor --loop` command: measure how loud the speaker is at the microphone, and keep the result."""

from pathlib import Path

from appliance.audio.echo.loop import LOOP_FILE, LoopMeasurement
from appliance.cli.commands.doctor import show_findings
from appliance.config.schema import Settings
from appliance.doctor.finding import Finding, Severity
from appliance.doctor.loop import analysed, findings
from appliance.doctor.loop_recorder import cards_of, record
from appliance.net.event_loop import run
from appliance.service.control_client import RUNTIME, require_no_daemon
from appliance.storage.jsonfile import JsonFile
from appliance.storage.private_dir import state_directory


def loop_command(settings: Settings, *, as_json: bool, runtime: Path = RUNTIME) -> int:
    """Play, record and measure, show the findings and return the exit code: 0, whatever was measured.

    Raises:
        InputError: The daemon runs, and has the cards in use; or the settings name no two cards.
        DeviceError: A card cannot be opened, or has stopped.
    """
    require_no_daemon(runtime)
    microphone, speaker = cards_of(settings)
    measured = analysed(run(record(settings)), microphone, speaker)
    return show_findings([*findings(measured), *run(_keep(measured))], as_json=as_json)


async def _keep(measured: LoopMeasurement) -> list[Finding]:
    """Write the measurement for ``barge_in = "auto"``; return a finding if that was in vain."""
    directory = state_directory()
    file = JsonFile(directory / LOOP_FILE)
    if directory.is_dir():
        await file.save(measured.stored())
        if LoopMeasurement.restored(file.load()) == measured:
            return []
    return [Finding("result", Severity.NOTE, f"not kept for the daemon in {directory}", "use sudo")]
