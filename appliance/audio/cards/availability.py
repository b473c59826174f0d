"""Whether the card that the settings name can be opened now, and what to say where it cannot."""

from dataclasses import dataclass

from appliance.audio.cards.alsa import Presence, Probed, probe
from appliance.audio.cards.devices import Direction, Target, cards, resolve
from appliance.audio.cards.hardware import Hardware
from appliance.errors import DeviceError


@dataclass(frozen=True, slots=True)
class CardLookup:
    """What came of looking for a card."""

    target: Target | None
    """None where the name fits none, or more than one."""
    presence: Presence
    text: str
    """One line that says what to do; empty where it can be opened."""
    hardware: Hardware | None = None
    """Formats, rates and channels it takes; None where it cannot be opened."""


def look_for(wanted: str, direction: Direction) -> CardLookup:
    """Look for a card; takes some milliseconds, more where a driver is slow."""
    try:
        target = resolve(wanted, direction, cards())
        probed = probe(target.pcm, direction)
    except DeviceError as error:
        return CardLookup(None, Presence.ABSENT, str(error))
    return CardLookup(target, probed.presence, _words(target, direction.noun, probed), probed.hardware)


def check(wanted: str, direction: Direction) -> Target:
    """Return the card; raises MicrophoneError, or SpeakerError, where it cannot be opened now."""
    found = look_for(wanted, direction)
    if found.target is None or found.presence is not Presence.PRESENT:
        raise direction.error(found.text)
    return found.target


def _words(target: Target, noun: str, probed: Probed) -> str:
    label, complaint = target.label, probed.complaint
    match probed.presence:
        case Presence.PRESENT:
            return ""
        case Presence.BUSY:
            return f"another program has the {noun} {label}: `appliance devices` shows which"
        case Presence.DENIED:
            return f"this user may not use the {noun} {label}: add it to the group audio"
        case Presence.BROKEN:
            return f"the {noun} {label} cannot be opened" + (f": ALSA says: {complaint}" if complaint else "")
        case _:
            text = f"the {noun} {label} is not there: `appliance devices` shows what is"
            # What it is made of, by asound.conf, may be what is not there.
            return text if complaint in {"", f"Unknown PCM {target.pcm}"} else f"{text}; ALSA says: {complaint}"
