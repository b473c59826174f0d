"""Writes down what was at the jacks of a virtual card, as WAV files and, of a room, as JSON."""

import json
import wave
from pathlib import Path
from typing import Final

from appliance.units import UPLINK, AudioFormat, Hz, Pcm, SampleIndex
from appliance.virtual_card.card import Jack, VirtualCard
from appliance.virtual_card.listener import at_the_person
from appliance.virtual_card.room import DELAY_S, PPM, RoomLoop

MAX_RECORDED_S: Final = 170.0
"""The last seconds that are written; the ring holds no more at 24 kHz."""


def write_jack(jack: Jack, begun_at: float, path: Path) -> None:
    """Write what was at a jack since a moment of the computer's clock."""
    _write(path, jack.rate_hz, _kept(jack, begun_at))


def write_room(room: RoomLoop, card: VirtualCard, directory: Path) -> None:
    """Write what was heard and played since the room began.

    ``microphone.wav``, ``speaker.wav`` (what was played) and ``person.wav`` (as the person heard it, with the person's
    own voice) begin at the same moment. ``room.json`` has that moment, ``begun_at``, and ``said``, when the person
    began and ceased to be heard, by the computer's monotonic clock; ``asked``, how many of those were questions and not
    said over an answer; ``delay_s`` and ``ppm``, which the appliance has to
    find out; and ``late``: how many samples may have been read before they were written.
    """
    begun_at = max(room.begun_at, card.speaker.time_of(card.speaker.now) - MAX_RECORDED_S)
    played = _kept(card.speaker, begun_at)
    layout = AudioFormat(Hz(card.speaker.rate_hz))
    _write(directory / "speaker.wav", card.speaker.rate_hz, played)
    _write(directory / "microphone.wav", card.microphone.rate_hz, _kept(card.microphone, begun_at))
    said = [(SampleIndex(UPLINK.frames(saying.began_at - begun_at)), saying.words) for saying in room.said]
    _write(directory / "person.wav", UPLINK.rate_hz, at_the_person(played, layout, said))
    document = {
        "begun_at": begun_at,
        "said": [[saying.began_at, saying.ceased_at] for saying in room.said],
        "asked": room.asked,
        "delay_s": DELAY_S,
        "ppm": PPM,
        "late": room.late,
    }
    (directory / "room.json").write_text(json.dumps(document), encoding="ascii")


def _kept(jack: Jack, begun_at: float) -> Pcm:
    stop = jack.now
    start = max(jack.frame(begun_at), stop - AudioFormat(Hz(jack.rate_hz)).frames(MAX_RECORDED_S))
    return jack.played(start, stop)


def _write(path: Path, rate_hz: int, samples: Pcm) -> None:
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, rate_hz, 0, "NONE", ""))
        file.writeframes(samples.tobytes())
