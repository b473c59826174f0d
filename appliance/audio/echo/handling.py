"""Chooses how the echo of replies is treated, and what may interrupt a reply."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

from appliance.audio.echo.loop import LoopMeasurement
from appliance.audio.echo.modes import Aec
from appliance.config.devices import AlsaMicrophoneSettings, AlsaSpeakerSettings
from appliance.config.schema import Settings
from appliance.core.state import BargeIn, Policy

TRUSTED_INTERRUPTIONS: Final = 10
"""Answers in a row that speech may interrupt where a canceller has converged, and the person was found by its voice."""


@dataclass(frozen=True, slots=True)
class EchoHandling:
    """The choice; the default is that of recordings, in which there is no echo."""

    aec: Aec = Aec.OFF
    """Resolved: not `Aec.AUTO`."""
    barge_in: BargeIn = BargeIn.WAKE_WORD
    """Meaning of ``barge_in = "auto"``."""
    reason: str = ""
    """Why it means that, in words."""

    def policy(self, settings: Settings) -> Policy:
        """Return the part of the settings that the core needs."""
        policy = settings.policy(self.barge_in)
        return replace(policy, trusted_interruptions=TRUSTED_INTERRUPTIONS) if self.aec is Aec.WEBRTC else policy


def choose(
    settings: Settings, loop: LoopMeasurement | None = None, missing: Iterable[Aec] | None = None
) -> EchoHandling:
    """Return the choice for these settings.

    ``loop`` is the newest measurement, if there is one; ``missing`` is as in `Aec.resolved`.
    """
    microphone, speaker = settings.microphone, settings.speaker
    if not isinstance(microphone, AlsaMicrophoneSettings) or not isinstance(speaker, AlsaSpeakerSettings):
        return EchoHandling(reason="without two sound cards there is no echo")
    wanted = Aec(microphone.aec)
    aec = wanted.resolved(missing)
    measured = loop if loop is not None and loop.is_of(microphone.device, speaker.device) else None
    barge_in, reason = _choice(aec, is_missing=wanted not in {aec, Aec.AUTO}, loop=measured)
    return EchoHandling(aec, barge_in, reason)


def _choice(aec: Aec, *, is_missing: bool, loop: LoopMeasurement | None) -> tuple[BargeIn, str]:
    match aec:
        case Aec.SPEEX:
            return BargeIn.WAKE_WORD, "Speex leaves too much of the echo"
        case Aec.HALF_DUPLEX:
            missing = "what microphone.aec names is not installed" if is_missing else "nothing takes the echo away"
            return BargeIn.WAKE_WORD, missing
        case _ if loop is not None and not loop.allows_voice:
            return BargeIn.WAKE_WORD, "the speaker was measured to be too loud at the microphone"
        case Aec.OFF:
            return BargeIn.VOICE, "the hardware takes the echo away"
        case _:
            return BargeIn.VOICE, "the echo is taken away"
