"""Every setting of the daemon: its form, its bounds and its default.

Later sources override earlier ones: the defaults here, the TOML file, its drop-ins (``<file>.d/*.toml``, by name),
systemd credentials (``$CREDENTIALS_DIRECTORY``), ``APPLIANCE_*`` variables (``APPLIANCE_LIVE__VOICE``), command-line
overrides (`appliance.config.load` layers them). The result is frozen; nothing reads the environment afterwards.

The docstring of a setting becomes its comment in config/appliance.toml, beside the default.
"""

from dataclasses import replace
from enum import Enum
from pathlib import Path
from typing import Final, Literal, Self

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import SettingsConfigDict

from appliance.config.devices import (
    AlsaMicrophoneSettings,
    AlsaSpeakerSettings,
    AnyButton,
    AnyIndicator,
    AnyMicrophone,
    AnySpeaker,
    AnyWake,
    GpioButtonSettings,
    GpioIndicatorSettings,
    OpenWakeWordSettings,
    PlaybackSettings,
    WavMicrophoneSettings,
    WavSpeakerSettings,
)
from appliance.config.sources import LayeredSettings, Section
from appliance.core.state import BargeIn, Policy
from appliance.units import Seconds

_LAST_RESORT_S: Final = 2.0
"""The conversation waits a little longer than the link's watchdogs, which know more."""


class ConversationSettings(Section):
    """Turns and how long to wait, in seconds unless the name says otherwise."""

    barge_in: Literal["auto", "voice", "wake-word", "button"] = "auto"
    """Means of interrupting a reply: "voice" (just speak), "wake-word" or "button"; the button always works, and the
    wake word works with "voice", too. "auto": "voice" where the appliance can take its own voice out of what the
    microphone hears (microphone.aec), and was not measured to be too loud for that; else "wake-word". `appliance
    status` says which, and why. With all of them, a sentence that has begun when the reply starts is still sent to its
    end."""
    preroll_ms: int = Field(default=200, ge=0, le=2000)
    """Milliseconds of audio sent from before the end of the wake word, or from before the press. Raise it if first
    syllables are missing."""
    connecting_s: float = Field(default=8.0, ge=1, le=60)
    """Longest wait for a connection to the Live service."""
    first_speech_s: float = Field(default=8.0, ge=1, le=60)
    """Time to begin speaking after the wake word."""
    greeting: str = Field(default="", max_length=500)
    """Text sent to the model if nobody speaks after the wake word, for example "Ask what you can do". Empty: the
    appliance waits in silence."""
    greeting_s: float = Field(default=3.0, ge=0.5, le=60)
    """Time to begin speaking after the wake word before the greeting is sent."""
    follow_up_s: float = Field(default=8.0, ge=0.5, le=60)
    """Time to begin speaking after an answer, without the wake word."""
    longest_s: float = Field(default=300.0, ge=30, le=3600)
    """Longest conversation since the last wake word or press, for example beside a running television. The model then
    says goodbye."""
    farewell: str = Field(
        default="This conversation has lasted as long as it may. Say goodbye in one short sentence.",
        min_length=1,
        max_length=500,
    )
    """Text sent to the model when longest_s is reached."""
    unanswered_turns: int = Field(default=3, ge=1, le=20)
    """Turns in a row that the model leaves unanswered until the conversation ends: nobody was speaking to it."""
    answer_s: float = Field(default=6.5, ge=2, le=60)
    """Longest wait for the first sign of an answer. The question is then sent once more, over a new connection."""
    thinking_s: float = Field(default=30.0, ge=2, le=120)
    """Longest wait for an answer once there are signs of one."""
    memory_s: float = Field(default=300.0, ge=0, le=6600)
    """Time for which a finished conversation is remembered: until then, the next one continues it. 0: every
    conversation starts anew."""
    min_hold_ms: int = Field(default=250, ge=50, le=1000)
    """Milliseconds from which a press counts as push-to-talk. A shorter one is a tap, which ends the conversation."""

    def policy(self, automatic: BargeIn = BargeIn.WAKE_WORD) -> Policy:
        """Return the part that the core needs; ``automatic`` is what ``barge_in = "auto"`` means here."""
        return Policy(
            barge_in=automatic if self.barge_in == "auto" else BargeIn(self.barge_in),
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


class LiveSettings(Section):
    """Set-up of the Live service. A token may lock some of these to other values."""

    voice: str = "Kore"
    """One of the service's prebuilt voices."""
    language: str = "en-US"
    """Language to speak, as a BCP-47 code."""
    instruction: str = (
        "You are a helpful voice in a household. Answer briefly, in one to three sentences, as one speaks. "
        "Keep to the language that you are spoken to in."
    )
    """The system instruction."""
    transcripts: bool = True
    """Ask the service for transcripts. They stay in memory, and are logged only with log.transcripts."""
    vocabulary: tuple[str, ...] = ()
    """Names and words that the service should expect. Add those that it keeps mishearing."""
    start_sensitivity: Sensitivity | None = None
    """Sensitivity to the start of speech: "high" or "low". Empty: the service's default. "low" helps in a noisy room.
    Not used with the button."""
    end_sensitivity: Sensitivity | None = None
    """Sensitivity to the end of speech: with "high", a shorter pause ends a turn than with "low". Empty: the service's
    default."""
    silence_ms: int | None = Field(default=None, ge=100, le=5000)
    """Milliseconds of silence that end a turn. Empty: the service's default. Raise it for people who pause while they
    speak; every answer then comes that much later."""
    padding_ms: int | None = Field(default=None, ge=0, le=1000)
    """Milliseconds of speech that begin a turn. Empty: the service's default."""
    may_stay_silent: bool = False
    """Let the model leave unanswered what is not meant for it. Newer models do so anyway."""
    temperature: float | None = Field(default=None, ge=0, le=2)
    """Variety of the answers, from 0 (least) to 2. Empty: the service's default."""
    thinking_level: Literal["minimal", "low", "medium", "high"] | None = None
    """Amount of thinking before an answer. Empty, or a level that the model does not have: the model's default."""
    affective_dialog: bool = False
    """Answer in the mood of the speaker's voice. Ignored by models that cannot."""
    google_search: bool = False
    """Let the model search the web. Searches are billed separately."""
    tell_what_was_heard: bool = True
    """After an interruption, tell the model how much of its answer was heard, where the model accepts that."""
    compress_at_tokens: int = Field(default=25_000, ge=5_000, le=120_000)
    """Tokens of context from which the oldest part of a conversation is dropped. Every turn is billed for the whole
    context; 25000 tokens are about a quarter of an hour of talk."""
    compress_to_tokens: int = Field(default=12_000, ge=1_000, le=100_000)
    """Tokens of context that remain then; less than compress_at_tokens."""
    setup_timeout_s: float = Field(default=6.0, ge=0.5, le=60)
    """Longest time, in seconds, to connect and have the set-up accepted."""
    ca_file: Path | None = None
    """Certificates to trust instead of the public ones; for the simulator."""

    @model_validator(mode="after")
    def _shortens(self) -> Self:
        if self.compress_to_tokens >= self.compress_at_tokens:
            raise ValueError("compress_to_tokens: has to be less than compress_at_tokens")
        return self


class Prefetch(Enum):
    """When a token is fetched in advance."""

    NEVER = "never"
    AFTER_SESSION = "after-session"
    ALWAYS = "always"


class ProvisioningSettings(Section):
    """The provisioning server. `appliance enrol` stores most of this; values set here take precedence."""

    url: str = ""
    """Base address of the provisioning server. Empty: as enrolled."""
    device_id: str = ""
    """The server's name for this device. Empty: as enrolled."""
    device_key: SecretStr | None = None
    """Private key to use instead of the enrolled one: Ed25519 or P-256, PEM. Do not write it into this file; pass it as
    the systemd credential provisioning__device_key."""
    device_key_file: Path | None = None
    """File with that key."""
    server_keys: tuple[str, ...] = ()
    """Public keys that the server signs its answers with: Ed25519, 32 bytes each, base64. Empty: as enrolled."""
    ca_file: Path | None = None
    """Certificates to trust instead of the public ones. Set it if the server uses a self-signed certificate."""
    timeout_s: float = Field(default=5.0, ge=0.5, le=60)
    """Longest wait for an answer, in seconds."""
    prefetch: Prefetch = Prefetch.AFTER_SESSION
    """When to fetch a token in advance, so that a conversation starts sooner. "never"; "after-session": at start-up and
    after each conversation, for the next few minutes; "always": kept fresh for another hour. Unused tokens are reported
    and count against no quota."""


class ToolSettings(Section):
    """Functions that the model may call."""

    enabled: tuple[str, ...] = ("get_time", "end_conversation")
    """Names of built-in tools: get_time, end_conversation, set_volume, forget_conversation."""
    timeout_s: float = Field(default=8.0, ge=0.5, le=60)
    """Longest time for one call, in seconds. After that the model gets an error."""
    calls_per_question: int = Field(default=12, ge=1, le=100)
    """Most calls for one question. Further ones get an error; if the model keeps calling, the conversation ends with an
    apology."""
    question_s: float = Field(default=60.0, ge=1, le=600)
    """Seconds from a question's first call after which further calls get an error, too."""
    filler_s: float = Field(default=2.0, ge=0.5, le=60)
    """Seconds between the short sounds that fill the silence while a tool runs."""


class CapSettings(Section):
    """Spending limits for the Live service, in USD by its price list. Empty: no limit."""

    session: float | None = Field(default=None, ge=0)
    """For one conversation."""
    day: float | None = Field(default=None, ge=0)
    """For one calendar day."""
    month: float | None = Field(default=None, ge=0)
    """For one calendar month."""


class LogSettings(Section):
    """The journal."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """Least severe level to log."""
    transcripts: bool = False
    """Log what people and the model say, in words."""


class Settings(LayeredSettings):
    """All settings."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        env_prefix="APPLIANCE_",
        env_nested_delimiter="__",
        use_attribute_docstrings=True,
        hide_input_in_errors=True,
    )

    microphone: AnyMicrophone = AlsaMicrophoneSettings()
    """The source of speech."""
    speaker: AnySpeaker = AlsaSpeakerSettings()
    """The destination of replies."""
    playback: PlaybackSettings = PlaybackSettings()
    """Playback of replies."""
    wake: AnyWake = OpenWakeWordSettings()
    """The wake word."""
    conversation: ConversationSettings = ConversationSettings()
    """Turns and how long to wait, in seconds unless the name says otherwise."""
    live: LiveSettings = LiveSettings()
    """Set-up of the Live service. A token may lock some of these to other values."""
    provisioning: ProvisioningSettings = ProvisioningSettings()
    """The provisioning server. `appliance enrol` stores most of this; values set here take precedence."""
    indicator: AnyIndicator = GpioIndicatorSettings()
    """The lights."""
    button: AnyButton = GpioButtonSettings()
    """The push-to-talk button."""
    tools: ToolSettings = ToolSettings()
    """Functions that the model may call."""
    caps: CapSettings = CapSettings()
    """Spending limits for the Live service, in USD by its price list. Empty: no limit."""
    log: LogSettings = LogSettings()
    """The journal."""

    def policy(self, automatic: BargeIn = BargeIn.WAKE_WORD) -> Policy:
        """Return the part that the core needs; ``automatic`` is what ``conversation.barge_in = "auto"`` means here."""
        return replace(
            self.conversation.policy(automatic),
            tools_s=self.tools.timeout_s + self.conversation.thinking_s,
            tool_calls=self.tools.calls_per_question,
            tool_time_s=self.tools.question_s,
            light_required=isinstance(self.indicator, GpioIndicatorSettings) and self.indicator.required,
        )

    @property
    def speaker_delay_s(self) -> Seconds:
        """The delay between the card's report and the sound."""
        return Seconds(self.speaker.extra_delay_ms / 1000 if isinstance(self.speaker, AlsaSpeakerSettings) else 0.0)

    @model_validator(mode="after")
    def _keeps_what_is_heard(self) -> Self:
        if isinstance(self.microphone, WavMicrophoneSettings) and isinstance(self.speaker, WavSpeakerSettings):
            heard, written = self.microphone.path, self.speaker.path
            if heard.resolve() == written.resolve():
                raise ValueError(f"speaker.path: {written} is the microphone's file, and would be overwritten")
        return self
