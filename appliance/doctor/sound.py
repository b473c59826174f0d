"""Checks of the sound cards, and of what serves them."""

import ctypes
import threading
from functools import partial
from typing import Final

from appliance.audio.alsa import Presence
from appliance.audio.devices import Direction
from appliance.audio.presence import look_for
from appliance.audio.realtime import PRIORITY, real_time
from appliance.audio.wire import Scheduling
from appliance.doctor.finding import Check, Finding, Severity
from appliance.settings import AlsaMicrophone, AlsaSpeaker, Settings


def card(direction: Direction, settings: Settings) -> Finding:
    """Tell whether the card that the settings name can be opened."""
    section = settings.microphone if direction is Direction.INPUT else settings.speaker
    if not isinstance(section, AlsaMicrophone | AlsaSpeaker):
        return Finding(direction.noun, Severity.NOTE, "the settings name a file instead of a card")
    found = look_for(section.device, direction)
    if found.target is not None and found.presence is Presence.PRESENT:
        return Finding(direction.noun, Severity.OK, f"{found.target.label} is there and free")
    if found.presence is Presence.BUSY:
        return Finding(
            direction.noun, Severity.NOTE, found.text, "all is well if that is the daemon: systemctl status appliance"
        )
    return Finding(direction.noun, Severity.PROBLEM, found.text)


def portaudio(_: Settings) -> Finding:
    """Tell whether the library is there."""
    try:
        ctypes.CDLL("libportaudio.so.2")
    except OSError:
        return Finding("PortAudio", Severity.PROBLEM, "not installed", "sudo apt install libportaudio2")
    return Finding("PortAudio", Severity.OK, "installed")


def priority(_: Settings) -> Finding:
    """Tell whether the threads of the cards may run before all others."""
    if _scheduling() is Scheduling.REAL_TIME:
        return Finding("real-time priority", Severity.OK, "allowed")
    return Finding(
        "real-time priority",
        Severity.NOTE,
        "refused: it works, but a busy CPU is heard as gaps, words to it are lost, and a lost card is noticed only "
        "after a second",
        "run it by its systemd unit, or put LimitRTPRIO=70 into yours",
    )


def _scheduling() -> Scheduling:
    """Try it on a thread that ends at once, as it stays with the thread."""
    got: list[Scheduling] = []
    thread = threading.Thread(target=lambda: got.append(real_time(PRIORITY)))
    thread.start()
    thread.join()
    return got[0]


CHECKS: Final[tuple[Check, ...]] = (
    partial(card, Direction.INPUT),
    partial(card, Direction.OUTPUT),
    portaudio,
    priority,
)
