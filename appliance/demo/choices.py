"""What the demo is asked for: its options, checked, and the settings that follow from them."""

import argparse
import difflib
import os
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from appliance.audio.cards.availability import require_card
from appliance.audio.cards.devices import Direction
from appliance.audio.riff import open_wav
from appliance.config.devices import OpenWakeWord
from appliance.config.schema import Conversation, Live
from appliance.console.argument_types import float_between
from appliance.core.state import BargeIn
from appliance.demo.outputs import check_outputs
from appliance.demo.recorder import LONGEST_S
from appliance.demo.servers import Mishap, Service
from appliance.demo.timeline import check
from appliance.errors import ConfigurationError, DeviceError, ExitCode, InputError
from appliance.units import Seconds
from appliance.wake.models import known_models, load

SILENCE_S: Final = 120.0
"""The longest that a file is followed by silence: a conversation that takes longer is ended."""
LONGEST_FILE_S: Final = LONGEST_S - SILENCE_S
LONGEST_DELAY_S: Final = 60.0
"""What the service may be told to wait; the appliance gives up long before."""


@dataclass(frozen=True, slots=True)
class Choices:
    """The options, checked as far as can be before anything starts."""

    microphone: Path | str
    """A WAV file, or the name of a capture device."""
    duration_s: Seconds | None
    """Length of that file; None for a device."""
    wait_s: float
    """So long a device is listened to before its first wake word."""
    speaker: Path | str | None
    """A WAV file, the name of a playback device, or None for a file that is thrown away."""
    barge_in: BargeIn
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
        """Return the settings; ``speaker`` is the file where none was chosen."""
        of_file = isinstance(self.microphone, Path)
        microphone = (
            {"kind": "wav", "path": self.microphone, "then_silence_s": SILENCE_S}
            if of_file
            else {"kind": "alsa", "device": self.microphone}
        )
        heard = self.speaker if isinstance(self.speaker, str) else None
        return {
            "microphone": microphone,
            "speaker": {"kind": "alsa", "device": heard} if heard is not None else {"kind": "wav", "path": speaker},
            "wake": {"kind": "openwakeword", "model": self.wake},
            "conversation": {"barge_in": self.barge_in},
            "indicator": {"kind": "terminal"},
            "button": {"kind": "none"},
        }


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.description = (
        "Hold one whole conversation with a simulated service: a wake word, a question, an answer. Nothing is written "
        "but what the options name."
    )
    add = parser.add_argument
    add("--mic", metavar="FILE.wav|DEVICE", help="what is heard (default: a recording that ships with the appliance)")
    add("--speaker", metavar="FILE.wav|DEVICE", help="where the answers go (default: a file that is thrown away)")
    add(
        "--barge-in",
        choices=[choice.value for choice in BargeIn],
        help="what interrupts an answer, beside the button (default: voice with a file, which hears no speaker; else "
        f"{Conversation().barge_in.value})",
    )
    add("--wake", metavar="NAME", default=OpenWakeWord().model, help="the wake word (default: %(default)s)")
    add(
        "--link-delay",
        metavar="SECONDS",
        type=float_between(0, LONGEST_DELAY_S),
        default=0.0,
        help=f"let the service take so long to open the link; the appliance waits {Live().setup_timeout_s:g} s",
    )
    add(
        "--wait",
        metavar="SECONDS",
        type=float_between(1, LONGEST_S),
        default=LONGEST_S,
        help="end when a device has heard no wake word for so long (default: %(default)g)",
    )
    add("--report", metavar="FILE.json", type=Path, help="write what was measured")
    add("--timeline", metavar="FILE.png", type=Path, help="draw what happened")
    services = [service.value for service in Service]
    add("--live", choices=services, default=Service.SIMULATOR.value, help="who answers; google needs GEMINI_API_KEY")
    mishaps = [mishap.value for mishap in Mishap]
    add("--mishap", choices=mishaps, default=Mishap.NONE.value, help="what is to go wrong (default: %(default)s)")


def choose(arguments: argparse.Namespace) -> Choices:
    """Check the options.

    Raises:
        ApplianceError: One is of no use; the message says what to do.
    """
    service = Service(arguments.live)
    if service is Service.GOOGLE and not os.environ.get("GEMINI_API_KEY"):
        raise ConfigurationError("--live google needs an API key in GEMINI_API_KEY")
    wake = _wake(arguments.wake)
    microphone = _microphone(arguments.mic, wake)
    # A file hears nothing of the speaker, so that speech alone may interrupt.
    barge_in = BargeIn.VOICE if isinstance(microphone, Path) else Conversation().barge_in
    choices = Choices(
        microphone=microphone,
        barge_in=barge_in if arguments.barge_in is None else BargeIn(arguments.barge_in),
        duration_s=_duration(microphone) if isinstance(microphone, Path) else None,
        wait_s=arguments.wait,
        speaker=_speaker(arguments.speaker),
        wake=wake,
        link_delay_s=arguments.link_delay,
        service=service,
        mishap=Mishap(arguments.mishap),
        report=arguments.report,
        timeline=arguments.timeline,
    )
    if choices.timeline is not None:
        check(choices.timeline)
    check_outputs(choices.outputs, microphone if isinstance(microphone, Path) else None)
    return choices


def _wake(name: str) -> str:
    known = known_models()
    if name in known or "/" in name:
        load(name)
        return name
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}"
    raise ConfigurationError(f"--wake {name}: there is no such wake word; {hint}")


def _microphone(given: str | None, wake: str) -> Path | str:
    if given is None:
        shipped = Path(str(files("appliance.demo") / "recordings" / f"scene_{wake}.wav"))
        if not shipped.exists():
            raise InputError(f"no recording ships for {wake}: give one with --mic FILE.wav", ExitCode.NO_INPUT)
        return shipped
    path = Path(given)
    if path.suffix.lower() == ".wav" or "/" in given or os.path.exists(given):  # noqa: PTH110  Path.exists may raise
        return path
    try:
        require_card(given, Direction.INPUT)
    except DeviceError as error:
        raise InputError(f"--mic {given}: there is no such file, and {error}", ExitCode.NO_INPUT) from error
    return given


def _duration(recording: Path) -> Seconds:
    wav = open_wav(recording)
    duration_s = Seconds(wav.format.duration(wav.frames))
    if duration_s > LONGEST_FILE_S:
        raise InputError(
            f"{recording} is {duration_s:.0f} s long, and the demo takes {LONGEST_FILE_S:.0f} s: "
            f"cut it, for example with: sox {recording.name} out.wav trim 0 {LONGEST_FILE_S:.0f}"
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
        raise InputError(f"--speaker {given}: the name does not end in .wav, and {error}", ExitCode.NO_INPUT) from error
    return given
