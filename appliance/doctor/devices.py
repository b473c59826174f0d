"""Checks of the device: sound cards, pins, wake word, voices, and the libraries and permissions they need."""

import asyncio
import ctypes
import threading
from collections.abc import Iterator
from contextlib import chdir
from tempfile import TemporaryDirectory
from typing import Final

from appliance import app
from appliance.audio.cards.alsa import Availability
from appliance.audio.cards.availability import CardLookup, look_up
from appliance.audio.cards.devices import Direction
from appliance.audio.echo.handling import choose
from appliance.audio.echo.modes import Aec
from appliance.audio.worker.messages import Opened, Scheduling
from appliance.audio.worker.realtime import PRIORITY, set_real_time
from appliance.config.devices import AlsaMicrophoneSettings, AlsaSpeakerSettings, OpenWakeWordSettings
from appliance.config.schema import Settings
from appliance.doctor.finding import Check, Finding, Severity
from appliance.errors import ApplianceError, DeviceError
from appliance.net.event_loop import run

_BUSY_ADVICE: Final = "this is fine if it is the daemon: systemctl status appliance"


def cards(settings: Settings, busy: Severity = Severity.NOTE) -> list[Finding]:
    """Check that the cards in the settings open as the daemon opens them; ``busy`` rates one that is in use."""
    sections = {Direction.INPUT: settings.microphone, Direction.OUTPUT: settings.speaker}
    named = {
        direction: look_up(section.device, direction)
        for direction, section in sections.items()
        if isinstance(section, AlsaMicrophoneSettings | AlsaSpeakerSettings)
    }
    free = [direction for direction, found in named.items() if found.availability is Availability.AVAILABLE]
    opened = asyncio.run(app.open_cards(settings, free))
    return [_card(direction, named.get(direction), opened.get(direction), busy) for direction in Direction]


def _card(
    direction: Direction, found: CardLookup | None, opened: Opened | DeviceError | None, busy: Severity
) -> Finding:
    name = direction.noun
    if found is None:
        return Finding(name, Severity.NOTE, "the settings name a file instead of a card")
    match opened:
        case Opened():
            channels = "mono" if opened.channels == 1 else f"{opened.channels} channels"
            return Finding(name, Severity.OK, f"{opened.label} opens: {opened.rate_hz} Hz, {channels}")
        case DeviceError():
            return Finding(name, Severity.PROBLEM, str(opened))
    if found.availability is Availability.BUSY:
        return Finding(name, busy, found.text, _BUSY_ADVICE if busy is Severity.NOTE else "")
    return Finding(name, Severity.PROBLEM, found.text)


def pins(settings: Settings, busy: Severity = Severity.NOTE) -> Iterator[Finding]:
    """Check that the pins of light and button can be claimed; ``busy`` rates one that is in use."""
    with TemporaryDirectory() as folder, chdir(folder):  # lgpio leaves pipes in the working directory
        tried = run(app.try_pins(settings))
    for name, error in tried.items():
        if error is None:
            yield Finding(name, Severity.OK, "its pins can be claimed")
        elif busy is Severity.NOTE and "busy" in str(error).lower():
            yield Finding(name, busy, str(error), _BUSY_ADVICE)
        else:
            section = {"light": "indicator", "button": "button"}[name]
            yield Finding(name, Severity.PROBLEM, str(error), f"fix it, or set another {section}.kind")


def portaudio(_: Settings) -> Finding:
    """Check that PortAudio is installed."""
    try:
        ctypes.CDLL("libportaudio.so.2")
    except OSError:
        return Finding("PortAudio", Severity.PROBLEM, "not installed", "sudo apt install libportaudio2")
    return Finding("PortAudio", Severity.OK, "installed")


def realtime_priority(_: Settings) -> Finding:
    """Check that the audio threads may have real-time priority."""
    if _scheduling() is Scheduling.REAL_TIME:
        return Finding("real-time priority", Severity.OK, "allowed")
    return Finding(
        "real-time priority",
        Severity.NOTE,
        "refused: under load, replies have gaps, speech is lost, and a lost card is noticed only after a second",
        "use the systemd unit, or add LimitRTPRIO=70 to yours",
    )


def _scheduling() -> Scheduling:
    """Try it on a thread that ends at once, because a thread keeps its priority."""
    got: list[Scheduling] = []
    thread = threading.Thread(target=lambda: got.append(set_real_time(PRIORITY)))
    thread.start()
    thread.join()
    return got[0]


def wake_word(settings: Settings) -> Finding:
    """Check that the wake word's models are unaltered and run."""
    make = app.wake_engine(settings)
    if make is None or not isinstance(settings.wake, OpenWakeWordSettings):
        return Finding("wake word", Severity.NOTE, "switched off: only the button begins a conversation")
    try:
        make()
    except ApplianceError as error:
        return Finding("wake word", Severity.PROBLEM, str(error), "install it again, or choose another wake.model")
    return Finding("wake word", Severity.OK, f"the model {settings.wake.model} loads and runs")


def echo(settings: Settings) -> Finding:
    """Check that what takes the echo of replies away is installed."""
    handling, microphone = choose(settings), settings.microphone
    as_set = isinstance(microphone, AlsaMicrophoneSettings) and microphone.aec == Aec.HALF_DUPLEX.value
    if handling.aec is not Aec.HALF_DUPLEX or as_set:
        return Finding("echo", Severity.OK, handling.reason)
    return Finding(
        "echo",
        Severity.NOTE,
        f"{handling.reason}: speaking does not interrupt an answer",
        'install the appliance again, or set microphone.aec: "off" if the hardware takes the echo away',
    )


def voice_detector(_: Settings) -> Finding:
    """Check that the model that hears who speaks is unaltered and runs."""
    try:
        app.neural_voice_detector()
    except ApplianceError as error:
        advice = "install it again; until then, whatever is loud counts as speech"
        return Finding("voice detector", Severity.NOTE, str(error), advice)
    return Finding("voice detector", Severity.OK, "its model loads and runs")


CHECKS: Final[tuple[Check, ...]] = (portaudio, realtime_priority, echo, wake_word, voice_detector)
