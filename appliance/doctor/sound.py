"""Checks of the sound cards, and of what serves them."""

import asyncio
import ctypes
import threading
from typing import Final

from appliance import app
from appliance.audio.cards.alsa import Presence
from appliance.audio.cards.availability import CardLookup, look_for
from appliance.audio.cards.devices import Direction
from appliance.audio.worker.messages import Opened, Scheduling
from appliance.audio.worker.realtime import PRIORITY, real_time
from appliance.config.devices import AlsaMicrophone, AlsaSpeaker
from appliance.config.schema import Settings
from appliance.doctor.finding import Check, Finding, Severity
from appliance.errors import DeviceError


def cards(settings: Settings, busy: Severity = Severity.NOTE) -> list[Finding]:
    """Tell whether the cards that the settings name open, as the daemon opens them; ``busy`` is one in use."""
    sections = {Direction.INPUT: settings.microphone, Direction.OUTPUT: settings.speaker}
    named = {
        direction: look_for(section.device, direction)
        for direction, section in sections.items()
        if isinstance(section, AlsaMicrophone | AlsaSpeaker)
    }
    free = [direction for direction, found in named.items() if found.presence is Presence.PRESENT]
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
    if found.presence is Presence.BUSY:
        advice = "all is well if that is the daemon: systemctl status appliance" if busy is Severity.NOTE else ""
        return Finding(name, busy, found.text, advice)
    return Finding(name, Severity.PROBLEM, found.text)


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
    portaudio,
    priority,
)
