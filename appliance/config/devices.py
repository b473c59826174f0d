"""Settings of the device itself: sound cards, playback, wake word, light and button."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, Tag

from appliance.config.sources import Section, variant


class AlsaMicrophoneSettings(Section):
    """A sound card."""

    kind: Literal["alsa"] = "alsa"
    device: str = ""
    """The card, as `appliance devices` shows it: its ALSA id, "usb:" and its USB port, its name or part of it, or a PCM
    of asound.conf. Empty: the only card there is; set it where there are several."""
    channel: int | None = Field(default=None, ge=1, le=32)
    """The channel that carries the voice, counted from 1. Empty: the only channel, or the first two mixed. Set it for a
    microphone array that delivers a processed voice on one of its channels."""
    aec: Literal["auto", "webrtc", "speex", "half-duplex", "off"] = "auto"
    """Takes the appliance's own voice out of what the microphone hears, so that people can speak over an answer
    (acoustic echo cancellation). "auto": the best that is installed. "webrtc" and "speex" name it; "speex" is weaker.
    "half-duplex" takes nothing out, and does not send what is said over an answer. "off" is for hardware that does it
    by itself, such as a speakerphone, and for a headset."""


class WavMicrophoneSettings(Section):
    """A WAV file instead of a microphone: any rate, any number of channels."""

    kind: Literal["wav"]
    path: Path
    """The file. It is played once, in real time."""
    then_silence_s: float = Field(default=0.0, ge=0, le=3600)
    """Seconds of silence after the end of the file, to leave time for an answer."""


class AlsaSpeakerSettings(Section):
    """A sound card."""

    kind: Literal["alsa"] = "alsa"
    device: str = ""
    """The card, named in the same way as the microphone."""
    period_ms: Literal[5, 10, 20, 40] = 10
    """Milliseconds of audio handed to the card at a time: 5, 10, 20 or 40. Shorter periods make an interruption silent
    sooner and take more CPU. Where the machine is too busy, the appliance switches to longer ones by itself."""
    extra_delay_ms: int = Field(default=0, ge=0, le=2000)
    """Milliseconds by which sound leaves the speaker later than the card reports; 100 to 500 are usual for televisions
    and wireless speakers. A delay of up to one second is measured with every answer; set this for a longer one, or to
    let the appliance listen sooner after an answer."""
    volume: float = Field(default=0.8, ge=0, le=1)
    """Gain of everything that is played: 0 is silent, 1 is full volume."""


class WavSpeakerSettings(Section):
    """A WAV file instead of a speaker: 24 kHz mono, silence included."""

    kind: Literal["wav"]
    path: Path
    """The file. It is overwritten."""
    volume: float = Field(default=1.0, ge=0, le=1)
    """Gain of everything that is played: 0 is silent, 1 is full volume."""


class PlaybackSettings(Section):
    """Playback of replies."""

    prebuffer_ms: int = Field(default=60, ge=0, le=1000)
    """Milliseconds of audio collected before a reply starts to play. Raise it if answers stutter on an uneven network;
    every answer then starts that much later."""
    ring_s: int = Field(default=120, ge=5, le=600)
    """Seconds of reply audio kept until they are played. When the buffer is full, receiving pauses, even for the
    service's notice of an interruption; few replies are longer than the default."""
    stall_s: float = Field(default=6.0, ge=0.5, le=60)
    """Seconds without new audio, in the middle of a reply, until the reply counts as broken off."""
    earcons: bool = True
    """Play short sounds at the wake word, at the end of a conversation and on errors."""


class OpenWakeWordSettings(Section):
    """openWakeWord models on ONNX Runtime."""

    kind: Literal["openwakeword"] = "openwakeword"
    model: str = "hey_rhasspy"
    """alexa, hey_jarvis, hey_mycroft, hey_rhasspy, or a model of your own: the path of an ONNX file, or its name in
    /etc/voice-appliance/models. Its SHA-256 digest must lie beside it (MODEL.onnx.sha256), and one more for the
    weights if they are in a separate file."""
    threshold: float | None = Field(default=None, gt=0, le=1)
    """Score from which the wake word counts as spoken. Empty: a value measured for the model (0.7 for hey_jarvis, 0.5
    for all others). Lower it if the wake word is missed, raise it after false alarms, by 0.05 at a time."""
    refractory_s: float = Field(default=2.0, ge=0.5, le=10)
    """Minimum seconds between two detections."""


class NoWakeWordSettings(Section):
    """Push-to-talk only."""

    kind: Literal["none"]


Pin = Annotated[int, Field(ge=0, le=27)]
"""A GPIO number (BCM) of the 40-pin header."""


class RgbPins(Section):
    """One RGB LED, or three LEDs; GPIO numbers (BCM)."""

    layout: Literal["rgb"] = "rgb"
    red: Pin = 17
    green: Pin = 27
    blue: Pin = 22


class StatePins(Section):
    """One LED per state; GPIO numbers (BCM)."""

    layout: Literal["per-state"]
    connecting: Pin = 17
    listening: Pin = 27
    speaking: Pin = 22
    interrupted: Pin = 23


AnyPins = Annotated[
    Annotated[RgbPins, Tag("rgb")] | Annotated[StatePins, Tag("per-state")],
    variant("layout", default="rgb"),
]


class GpioIndicatorSettings(Section):
    """LEDs on GPIO pins."""

    kind: Literal["gpio"] = "gpio"
    brightness: float = Field(default=1.0, gt=0, le=1)
    """Brightness of all LEDs; 1 is full brightness."""
    required: bool = False
    """Refuse conversations while the light does not work."""
    pins: AnyPins = RgbPins()
    """The LEDs and their pins."""


class TerminalIndicatorSettings(Section):
    """A line on the terminal."""

    kind: Literal["terminal"]


class NoIndicatorSettings(Section):
    """No light."""

    kind: Literal["none"]


class GpioButtonSettings(Section):
    """A push button between a GPIO pin and ground."""

    kind: Literal["gpio"] = "gpio"
    pin: Pin = 24
    """GPIO number (BCM)."""
    bounce_ms: int = Field(default=30, ge=1, le=200)
    """Debounce time in milliseconds. Raise it if one press counts as several."""


class KeyboardButtonSettings(Section):
    """The space bar of the terminal."""

    kind: Literal["keyboard"]


class NoButtonSettings(Section):
    """No button."""

    kind: Literal["none"]


AnyMicrophone = Annotated[
    Annotated[AlsaMicrophoneSettings, Tag("alsa")] | Annotated[WavMicrophoneSettings, Tag("wav")],
    variant("kind", default="alsa"),
]
AnySpeaker = Annotated[
    Annotated[AlsaSpeakerSettings, Tag("alsa")] | Annotated[WavSpeakerSettings, Tag("wav")],
    variant("kind", default="alsa"),
]
AnyWake = Annotated[
    Annotated[OpenWakeWordSettings, Tag("openwakeword")] | Annotated[NoWakeWordSettings, Tag("none")],
    variant("kind", default="openwakeword"),
]
AnyIndicator = Annotated[
    Annotated[GpioIndicatorSettings, Tag("gpio")]
    | Annotated[TerminalIndicatorSettings, Tag("terminal")]
    | Annotated[NoIndicatorSettings, Tag("none")],
    variant("kind", default="gpio"),
]
AnyButton = Annotated[
    Annotated[GpioButtonSettings, Tag("gpio")]
    | Annotated[KeyboardButtonSettings, Tag("keyboard")]
    | Annotated[NoButtonSettings, Tag("none")],
    variant("kind", default="gpio"),
]
