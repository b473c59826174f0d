"""The demo's options, and the settings that follow from them."""

import argparse
import difflib
import os
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from appliance.audio.cards.availability import require_card
from appliance.audio.cards.devices import Direction
from appliance.audio.echo.modes import Aec
from appliance.audio.riff import open_wav
from appliance.config.devices import AlsaMicrophoneSettings, OpenWakeWordSettings
from appliance.config.schema import ConversationSettings, LiveSettings
from appliance.console.argument_types import float_between, metres_between
from appliance.core.state import BargeIn
from appliance.demo.outputs import check_outputs
from appliance.demo.recorder import MAX_DURATION_S
from appliance.demo.servers import Mishap, Service
from appliance.demo.timeline import check_picture
from appliance.errors import ConfigurationError, DeviceError, ExitCode, InputError
from appliance.units import Seconds
from appliance.wake.models import known_models, load

SILENCE_S: Final = 120.0
"""Silence after a file; a conversation that lasts longer is cut off."""
MAX_FILE_S: Final = MAX_DURATION_S - SILENCE_S
MAX_DELAY_S: Final = 60.0
"""The longest connection delay; the appliance gives up long before."""
MIN_ROOM_M: Final = 0.1
MAX_ROOM_M: Final = 5.0
ROOM_WAIT_S: Final = 20.0
"""In a room, longest wait for the wake word: the person begins to speak after two seconds."""


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """The options, checked as far as possible before the start."""

    microphone: Path | str
    """A WAV file, or the name of a capture device."""
    room_m: float | None
    """Distance of microphone and speaker in a room where the person says what is in that file; None without a room."""
    duration_s: Seconds | None
    """Duration of that file; None for a device, and in a room."""
    wait_s: float
    """Longest wait for the first wake word from a device."""
    speaker: Path | str | None
    """A WAV file, the name of a playback device, or None for a temporary file."""
    barge_in: str
    """``conversation.barge_in`` of the settings."""
    aec: str
    """``microphone.aec`` of the settings, for a device."""
    wake: str
    link_delay_s: float
    service: Service
    mishap: Mishap
    report: Path | None
    timeline: Path | None

    @property
    def outputs(self) -> list[Path]:
        """The files to write, the report first."""
        return [path for path in (self.report, self.timeline, self.speaker) if isinstance(path, Path)]

    def overrides(self, speaker: Path) -> dict[str, Any]:
        """Return the settings; ``speaker`` is the output file if no device was chosen."""
        heard: Path | str = self.microphone if self.room_m is None else "virtual_mic"
        microphone = (
            {"kind": "wav", "path": heard, "then_silence_s": SILENCE_S}
            if isinstance(heard, Path)
            else {"kind": "alsa", "device": heard, "aec": self.aec}
        )
        device = (
            "virtual_speaker" if self.room_m is not None else self.speaker if isinstance(self.speaker, str) else None
        )
        return {
            "microphone": microphone,
            "speaker": {"kind": "alsa", "device": device} if device is not None else {"kind": "wav", "path": speaker},
            "wake": {"kind": "openwakeword", "model": self.wake},
            "conversation": {"barge_in": self.barge_in},
            "indicator": {"kind": "terminal"},
            "button": {"kind": "none"},
        }


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options to a parser."""
    parser.description = (
        "Have one whole conversation with a simulated service: a wake word, a question, an answer. Only the files that "
        "the options name are written."
    )
    add = parser.add_argument
    add("--mic", metavar="FILE.wav|DEVICE", help="the microphone (default: a recording that ships with the appliance)")
    add("--speaker", metavar="FILE.wav|DEVICE", help="the speaker (default: a temporary file)")
    add(
        "--room",
        metavar="DISTANCE",
        type=metres_between(MIN_ROOM_M, MAX_ROOM_M),
        help="in a simulated room: the microphone hears the speaker, at this distance (0.3m), and a person, who says "
        "what is in the recording, after its first pause over the answers; --speaker is as the person hears it",
    )
    add(
        "--barge-in",
        choices=["auto", *(choice.value for choice in BargeIn)],
        help="what interrupts an answer, besides the button (default: voice with a file, which has no echo; else "
        f"{ConversationSettings().barge_in})",
    )
    add(
        "--aec",
        choices=[choice.value for choice in Aec],
        default=AlsaMicrophoneSettings().aec,
        help="with devices, what takes the echo of answers out of the microphone's signal (default: %(default)s)",
    )
    add("--wake", metavar="NAME", default=OpenWakeWordSettings().model, help="the wake word (default: %(default)s)")
    add(
        "--link-delay",
        metavar="SECONDS",
        type=float_between(0, MAX_DELAY_S),
        default=0.0,
        help=f"delay of the service's set-up; the appliance waits {LiveSettings().setup_timeout_s:g} s",
    )
    add(
        "--wait",
        metavar="SECONDS",
        type=float_between(1, MAX_DURATION_S),
        default=MAX_DURATION_S,
        help="with a device, how long to wait for a wake word (default: %(default)g)",
    )
    add("--report", metavar="FILE.json", type=Path, help="write a report")
    add("--timeline", metavar="FILE.png", type=Path, help="draw a timeline")
    services = [service.value for service in Service]
    add("--live", choices=services, default=Service.SIMULATOR.value, help="who answers; google needs GEMINI_API_KEY")
    mishaps = [mishap.value for mishap in Mishap]
    add("--mishap", choices=mishaps, default=Mishap.NONE.value, help="what goes wrong (default: %(default)s)")


def options_from(arguments: argparse.Namespace) -> DemoOptions:
    """Return the checked options.

    Raises:
        ApplianceError: One cannot be used.
    """
    service = Service(arguments.live)
    if service is Service.GOOGLE and not os.environ.get("GEMINI_API_KEY"):
        raise ConfigurationError("--live google needs an API key in GEMINI_API_KEY")
    wake = _wake(arguments.wake)
    microphone = _microphone(arguments.mic, wake)
    speaker = _speaker(arguments.speaker)
    if arguments.room is not None and not (isinstance(microphone, Path) and isinstance(speaker, Path | None)):
        raise InputError("--room brings its own microphone and speaker: omit these, or name WAV files", ExitCode.USAGE)
    duration_s = _duration(microphone) if isinstance(microphone, Path) else None
    # A file picks up no sound from the speaker, so speech alone may interrupt.
    is_echo_free = isinstance(microphone, Path) and arguments.room is None
    barge_in = BargeIn.VOICE.value if is_echo_free else ConversationSettings().barge_in
    options = DemoOptions(
        microphone=microphone,
        barge_in=arguments.barge_in or barge_in,
        aec=arguments.aec,
        room_m=arguments.room,
        duration_s=duration_s if arguments.room is None else None,
        wait_s=arguments.wait if arguments.room is None else min(arguments.wait, ROOM_WAIT_S),
        speaker=speaker,
        wake=wake,
        link_delay_s=arguments.link_delay,
        service=service,
        mishap=Mishap(arguments.mishap),
        report=arguments.report,
        timeline=arguments.timeline,
    )
    if options.timeline is not None:
        check_picture(options.timeline)
    check_outputs(options.outputs, microphone if isinstance(microphone, Path) else None)
    return options


def _wake(name: str) -> str:
    known = known_models()
    if name in known or "/" in name:
        load(name)
        return name
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}"
    raise ConfigurationError(f"--wake {name}: unknown wake word; {hint}")


def _microphone(given: str | None, wake: str) -> Path | str:
    if given is None:
        shipped = Path(str(files("appliance.demo") / "recordings" / f"scene_{wake}.wav"))
        if not shipped.exists():
            raise InputError(f"there is no recording for {wake}: give one with --mic FILE.wav", ExitCode.NO_INPUT)
        return shipped
    path = Path(given)
    if path.suffix.lower() == ".wav" or "/" in given or os.path.exists(given):  # noqa: PTH110  Path.exists may raise
        return path
    try:
        require_card(given, Direction.INPUT)
    except DeviceError as error:
        raise InputError(f"--mic {given}: no such file, and {error}", ExitCode.NO_INPUT) from error
    return given


def _duration(recording: Path) -> Seconds:
    wav = open_wav(recording)
    duration_s = Seconds(wav.format.duration(wav.frames))
    if duration_s > MAX_FILE_S:
        raise InputError(
            f"{recording} is {duration_s:.0f} s long; the demo takes at most {MAX_FILE_S:.0f} s: "
            f"cut it, for example with: sox {recording.name} out.wav trim 0 {MAX_FILE_S:.0f}"
        )
    return duration_s


def _speaker(given: str | None) -> Path | str | None:
    if given is None:
        return None
    if given.lower().endswith(".wav") or "/" in given:
        return Path(given)
    try:
        require_card(given, Direction.OUTPUT)
    except DeviceError as error:
        raise InputError(f"--speaker {given}: not a .wav file, and {error}", ExitCode.NO_INPUT) from error
    return given
