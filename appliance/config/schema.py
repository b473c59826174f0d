"""Every setting of the daemon: its form, its bounds and its default.

Later sources win: the defaults here < the TOML file < its drop-ins (``<file>.d/*.toml``, by name) < systemd
credentials (``$CREDENTIALS_DIRECTORY``) < ``APPLIANCE_*`` variables (``APPLIANCE_LIVE__VOICE``) < command-line
overrides (`appliance.config.load` layers them). The result is frozen; nothing reads the environment afterwards.
"""

from dataclasses import replace
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Discriminator, Field, SecretStr, Tag, model_validator
from pydantic_settings import SettingsConfigDict

from appliance.config.sources import LayeredSettings
from appliance.core.state import BargeIn, Policy
from appliance.units import Seconds


class Section(BaseModel):
    """One table of the settings file."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class AlsaMicrophone(Section):
    """A sound card."""

    kind: Literal["alsa"] = "alsa"
    device: str = ""
    """The card: its ALSA id, "usb:" and its port, its name or a part of that, or a PCM of asound.conf
    (`appliance devices` shows them); empty: the only one there is."""
    channel: int | None = Field(default=None, ge=1, le=32)
    """The channel that hears the voice, counted from 1; empty: the only one, or the first two mixed."""


class WavMicrophone(Section):
    """A WAV file instead of a microphone, any rate and channel count."""

    kind: Literal["wav"]
    path: Path
    """The file; played in real time, once."""
    then_silence_s: float = Field(default=0.0, ge=0, le=3600)
    """Seconds of silence after its end, so that an answer can come."""


class AlsaSpeaker(Section):
    """A sound card."""

    kind: Literal["alsa"] = "alsa"
    device: str = ""
    """The card, as with the microphone."""
    period_ms: Literal[5, 10, 20, 40] = 10
    """What the card plays at a time: the shorter, the sooner an interruption is silent. Longer ones are taken by
    themselves where the machine is too busy for it."""
    extra_delay_ms: int = Field(default=0, ge=0, le=2000)
    """How much later sound leaves the speaker than the card says: some televisions and wireless speakers delay it by
    100 to 500 ms. Up to a second is found out without it; with it, an answer's end is known sooner."""
    volume: float = Field(default=0.8, ge=0, le=1)
    """Gain of everything that is played."""


class WavSpeaker(Section):
    """A WAV file instead of a speaker: 24 kHz mono, silence included."""

    kind: Literal["wav"]
    path: Path
    """The file; overwritten."""
    volume: float = Field(default=1.0, ge=0, le=1)
    """Gain of everything that is played."""


class Playback(Section):
    """How replies are played."""

    prebuffer_ms: int = Field(default=60, ge=0, le=1000)
    """Audio collected before a reply starts, against jitter of the network."""
    ring_s: int = Field(default=60, ge=5, le=600)
    """The most reply audio that waits to be played; when full, receiving pauses."""
    stall_s: float = Field(default=6.0, ge=0.5, le=60)
    """A reply that ran dry this long ago without an end counts as broken off."""
    earcons: bool = True
    """Play short sounds at wake, end and error."""


class OpenWakeWord(Section):
    """openWakeWord's graphs on the ONNX runtime."""

    kind: Literal["openwakeword"] = "openwakeword"
    model: str = "hey_rhasspy"
    """One of alexa, hey_jarvis, hey_mycroft, hey_rhasspy; or a graph of your own: the path of an ONNX file, or its name
    in /etc/voice-appliance/models, with its sha256sum beside it (and that of its weights, where a file of their own
    holds them)."""
    threshold: float | None = Field(default=None, gt=0, le=1)
    """Score that counts; empty: what suits the model."""
    refractory_s: float = Field(default=2.0, ge=0.5, le=10)
    """After a detection, none for this long."""


class NoWakeWord(Section):
    """Push-to-talk only."""

    kind: Literal["none"]


_LAST_RESORT_S: Final = 2.0
"""The conversation waits a little longer than the link's watchdogs, which know more."""


class Conversation(Section):
    """Turns and patience; seconds unless the name says otherwise."""

    barge_in: BargeIn = BargeIn.WAKE_WORD
    """What interrupts a reply, beside the button: "voice" (only where the microphone does not hear the speaker),
    "wake-word" or "button". What somebody is saying as a reply begins is sent to its end with each of them."""
    preroll_ms: int = Field(default=200, ge=0, le=2000)
    """Audio before the end of the wake word, or before the press, that is sent too."""
    connecting_s: float = Field(default=8.0, ge=1, le=60)
    """The longest wait for a link."""
    first_speech_s: float = Field(default=8.0, ge=1, le=60)
    """After the wake word, the wait for the first words."""
    greeting: str = Field(default="", max_length=500)
    """What the model is told in writing where nothing follows the wake word, for example "Ask what you can do";
    empty: it waits in silence."""
    greeting_s: float = Field(default=3.0, ge=0.5, le=60)
    """After the wake word, the wait for words before that."""
    follow_up_s: float = Field(default=8.0, ge=0.5, le=60)
    """After an answer, the wait for more without the wake word."""
    longest_s: float = Field(default=300.0, ge=30, le=3600)
    """The longest conversation without another wake word or press, for example beside a television; then the model
    says goodbye."""
    farewell: str = Field(
        default="This conversation has lasted as long as it may. Say goodbye in one short sentence.",
        min_length=1,
        max_length=500,
    )
    """Text that is sent to the model at that moment."""
    unanswered_turns: int = Field(default=3, ge=1, le=20)
    """After this many turns in a row that the model leaves unanswered, the conversation ends: they were not meant for
    it."""
    answer_s: float = Field(default=6.5, ge=2, le=60)
    """The longest wait for a sign that an answer is coming; then what was said is sent once more, over a new
    connection."""
    thinking_s: float = Field(default=30.0, ge=2, le=120)
    """The longest wait for an answer that shows signs of coming."""
    memory_s: float = Field(default=300.0, ge=0, le=6600)
    """A conversation is remembered this long after its end: the next one can go on with it; 0: never."""
    min_hold_ms: int = Field(default=250, ge=50, le=1000)
    """A shorter press is a tap: it ends the conversation."""

    def policy(self) -> Policy:
        """Return what the core needs of it."""
        return Policy(
            barge_in=self.barge_in,
            connecting_s=self.connecting_s,
            first_speech_s=self.first_speech_s,
            greeting=self.greeting,
            greeting_s=self.greeting_s,
            follow_up_s=self.follow_up_s,
            longest_s=self.longest_s,
            farewell=self.farewell,
            unanswered_turns=self.unanswered_turns,
            thinking_s=self.thinking_s + _LAST_RESORT_S,
        )


Sensitivity = Literal["high", "low"]


class Live(Section):
    """What is asked of the Live service; the token may lock some of it to other values."""

    voice: str = "Kore"
    """One of the service's prebuilt voices."""
    language: str = "en-US"
    """BCP-47 code of the language to speak."""
    instruction: str = (
        "You are a helpful voice in a household. Answer briefly, in one to three sentences, as one speaks. "
        "Keep to the language that you are spoken to in."
    )
    """The system instruction."""
    transcripts: bool = True
    """Ask the service for transcriptions; they are kept in memory only, and logged only with log.transcripts."""
    vocabulary: tuple[str, ...] = ()
    """Names and words that the service should expect to hear."""
    start_sensitivity: Sensitivity | None = None
    """How easily the service takes a sound for speech, "high" or "low"; empty: as it likes it. Not with the button."""
    end_sensitivity: Sensitivity | None = None
    """How soon the service takes a pause for the end of what is said, "high" or "low"."""
    silence_ms: int | None = Field(default=None, ge=100, le=5000)
    """A pause this long ends what is said."""
    padding_ms: int | None = Field(default=None, ge=0, le=1000)
    """Speech has to last this long to begin a turn."""
    may_stay_silent: bool = False
    """The model need not answer what is not meant for it; newer models always may."""
    temperature: float | None = Field(default=None, ge=0, le=2)
    """How varied the answers are; empty: as the service likes it."""
    thinking_level: Literal["minimal", "low", "medium", "high"] | None = None
    """How long the model may think; empty, or where the model has no such level: as it likes it."""
    affective_dialog: bool = False
    """Answer in the mood of the voice that asks; not every model can."""
    google_search: bool = False
    """The model may search the web, which costs extra."""
    tell_what_was_heard: bool = True
    """Tell the model how much of an answer was heard before it was interrupted, where it can be told."""
    compress_at_tokens: int = Field(default=25_000, ge=5_000, le=120_000)
    """So long a conversation is shortened, oldest words first: every turn is billed for all of it. 25000 are about a
    quarter of an hour of talk."""
    compress_to_tokens: int = Field(default=12_000, ge=1_000, le=100_000)
    """What is left of it then."""
    setup_timeout_s: float = Field(default=6.0, ge=0.5, le=60)
    """The longest wait for the answer to the set-up, from the first packet on."""
    ca_file: Path | None = None
    """Certificates to trust instead of the public ones: for the simulator."""

    @model_validator(mode="after")
    def _shortens(self) -> Self:
        if self.compress_to_tokens >= self.compress_at_tokens:
            raise ValueError("compress_to_tokens: has to be less than compress_at_tokens")
        return self


class Prefetch(Enum):
    """When a token is fetched before anybody asks for it."""

    NEVER = "never"
    AFTER_SESSION = "after-session"
    ALWAYS = "always"


class Provisioning(Section):
    """Where Live tokens come from; `appliance enrol` finds out most of it, and what is said here counts more."""

    url: str = ""
    """Base address of the provisioning server; empty: as enrolled."""
    device_id: str = ""
    """The name under which the server knows this device; empty: as enrolled."""
    device_key: SecretStr | None = None
    """This device's private key instead of the enrolled one, Ed25519 or P-256, PEM; as a rule from the credential
    ``provisioning__device_key``."""
    device_key_file: Path | None = None
    """A file with that key instead."""
    server_keys: tuple[str, ...] = ()
    """The public keys that the server signs its answers with, Ed25519, as 32 bytes in base64; empty: as enrolled."""
    ca_file: Path | None = None
    """Certificates to trust instead of the public ones: for a server with a certificate of its own."""
    timeout_s: float = Field(default=5.0, ge=0.5, le=60)
    """The longest wait for an answer."""
    prefetch: Prefetch = Prefetch.AFTER_SESSION
    """When a token is fetched before anybody asks for it: "never"; "after-session": at the start and after each
    conversation, good for some minutes; "always": for an hour after that, too. One that nobody needs is reported, and
    counts against no quota."""


Pin = Annotated[int, Field(ge=0, le=27)]
"""A GPIO number (BCM) of the 40-pin header."""


class RgbPins(Section):
    """One RGB LED, or three LEDs; GPIO numbers (BCM)."""

    layout: Literal["rgb"] = "rgb"
    red: Pin = 17
    green: Pin = 27
    blue: Pin = 22


class StatePins(Section):
    """One LED a state; GPIO numbers (BCM)."""

    layout: Literal["per-state"]
    connecting: Pin = 17
    listening: Pin = 27
    speaking: Pin = 22
    interrupted: Pin = 23


def _kind(default: str, tag: str = "kind") -> Discriminator:
    """Choose among a section's forms by its ``kind``, with a default where it is not given."""

    def chosen(value: Any) -> str:  # noqa: ANN401  pydantic hands over what it was given
        found = value.get(tag, default) if isinstance(value, dict) else getattr(value, tag, default)
        return str(found)

    return Discriminator(chosen)


AnyPins = Annotated[
    Annotated[RgbPins, Tag("rgb")] | Annotated[StatePins, Tag("per-state")],
    _kind("rgb", "layout"),
]


class GpioIndicator(Section):
    """LEDs on GPIO pins."""

    kind: Literal["gpio"] = "gpio"
    brightness: float = Field(default=1.0, gt=0, le=1)
    """Of all LEDs."""
    required: bool = False
    """Hold no conversation while the light does not work."""
    pins: AnyPins = RgbPins()
    """Which LEDs there are."""


class TerminalIndicator(Section):
    """A line on the terminal."""

    kind: Literal["terminal"]


class NoIndicator(Section):
    """No light."""

    kind: Literal["none"]


class GpioButton(Section):
    """A push button between a GPIO pin and ground."""

    kind: Literal["gpio"] = "gpio"
    pin: Pin = 24
    """GPIO number (BCM)."""
    bounce_ms: int = Field(default=30, ge=1, le=200)
    """Changes closer together than this are one."""


class KeyboardButton(Section):
    """The space bar of the terminal."""

    kind: Literal["keyboard"]


class NoButton(Section):
    """No button."""

    kind: Literal["none"]


class Tools(Section):
    """What the model may call."""

    enabled: tuple[str, ...] = ("get_time", "end_conversation")
    """Names from the built-in tools."""
    timeout_s: float = Field(default=8.0, ge=0.5, le=60)
    """A call that takes longer is answered with an error."""
    calls_per_question: int = Field(default=12, ge=1, le=100)
    """The most calls that are run for one question. Further calls are answered with an error; if the model goes on
    calling, the conversation ends with an apology."""
    question_s: float = Field(default=60.0, ge=1, le=600)
    """Calls that come this long after a question's first call are answered with an error, too."""
    filler_s: float = Field(default=2.0, ge=0.5, le=60)
    """A short sound fills the silence each time that a tool has run so long."""


class Caps(Section):
    """The most that may be spent on the Live service, in USD by its price list; empty: no limit."""

    session: float | None = Field(default=None, ge=0)
    """On one conversation."""
    day: float | None = Field(default=None, ge=0)
    """On a day."""
    month: float | None = Field(default=None, ge=0)
    """On a month."""


class Log(Section):
    """What is written to the journal."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """The least important events that are written."""
    transcripts: bool = False
    """Write what is said by people and by the model."""


AnyMicrophone = Annotated[
    Annotated[AlsaMicrophone, Tag("alsa")] | Annotated[WavMicrophone, Tag("wav")],
    _kind("alsa"),
]
AnySpeaker = Annotated[
    Annotated[AlsaSpeaker, Tag("alsa")] | Annotated[WavSpeaker, Tag("wav")],
    _kind("alsa"),
]
AnyWake = Annotated[
    Annotated[OpenWakeWord, Tag("openwakeword")] | Annotated[NoWakeWord, Tag("none")],
    _kind("openwakeword"),
]
AnyIndicator = Annotated[
    Annotated[GpioIndicator, Tag("gpio")]
    | Annotated[TerminalIndicator, Tag("terminal")]
    | Annotated[NoIndicator, Tag("none")],
    _kind("gpio"),
]
AnyButton = Annotated[
    Annotated[GpioButton, Tag("gpio")] | Annotated[KeyboardButton, Tag("keyboard")] | Annotated[NoButton, Tag("none")],
    _kind("gpio"),
]


class Settings(LayeredSettings):
    """The whole tree."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        env_prefix="APPLIANCE_",
        env_nested_delimiter="__",
        use_attribute_docstrings=True,
        hide_input_in_errors=True,
    )

    microphone: AnyMicrophone = AlsaMicrophone()
    """Where speech comes from."""
    speaker: AnySpeaker = AlsaSpeaker()
    """Where replies go."""
    playback: Playback = Playback()
    """How replies are played."""
    wake: AnyWake = OpenWakeWord()
    """The wake word."""
    conversation: Conversation = Conversation()
    """Turns and patience."""
    live: Live = Live()
    """What is asked of the Live service."""
    provisioning: Provisioning = Provisioning()
    """Where Live tokens come from."""
    indicator: AnyIndicator = GpioIndicator()
    """The lights."""
    button: AnyButton = GpioButton()
    """The push-to-talk button."""
    tools: Tools = Tools()
    """What the model may call."""
    caps: Caps = Caps()
    """Limits on spending."""
    log: Log = Log()
    """What is written to the journal."""

    def policy(self) -> Policy:
        """Return what the core needs of it."""
        return replace(
            self.conversation.policy(),
            tools_s=self.tools.timeout_s + self.conversation.thinking_s,
            tool_calls=self.tools.calls_per_question,
            tool_time_s=self.tools.question_s,
            light_required=isinstance(self.indicator, GpioIndicator) and self.indicator.required,
        )

    @property
    def speaker_delay_s(self) -> Seconds:
        """How much later sound leaves the speaker than the card says."""
        return Seconds(self.speaker.extra_delay_ms / 1000 if isinstance(self.speaker, AlsaSpeaker) else 0.0)

    @model_validator(mode="after")
    def _keeps_what_is_heard(self) -> Self:
        if isinstance(self.microphone, WavMicrophone) and isinstance(self.speaker, WavSpeaker):
            heard, written = self.microphone.path, self.speaker.path
            if heard.resolve() == written.resolve():
                raise ValueError(f"speaker.path: {written} is the microphone's file, and would be overwritten")
        return self
