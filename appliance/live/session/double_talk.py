"""Whether the person speaks on while a reply begins. Pure.

Before the first sample of a reply is heard, speech at the microphone cannot be its echo. So speech that began
before may be let through to its end, also where the speaker reaches the microphone.
"""

from typing import Final

from appliance.live.session.voice_activity import VoiceActivity
from appliance.units import Seconds

ECHO_S: Final = 0.7
"""Time for which a slow speaker (a television, Bluetooth) may sound after the last sample should have been heard."""
LONGEST_S: Final = 5.0
"""The service interrupts a reply sooner than this where it hears the person; speech that lasts longer may be echo."""
_SPEAKS: Final = VoiceActivity(least_s=0.2, longest_pause_s=0.4)
SILENCE_S: Final = 0.8
"""The longest silence that a service needs to end a turn, unless it is asked for another."""
MARGIN_S: Final = 0.4
"""Offered beyond that silence: audio alone ends a turn with every model."""


class DoubleTalkDetector:
    """Feed it throughout a conversation."""

    def __init__(self, silence_s: float | None = None) -> None:
        """``silence_s``: the silence that the service is asked to take for the end of a turn."""
        self._pause_s = (SILENCE_S if silence_s is None else max(silence_s, SILENCE_S)) + MARGIN_S
        self._before = _SPEAKS
        self._after = VoiceActivity(least_s=0.0, longest_pause_s=self._pause_s)
        self._lasts_s = 0.0
        self._deaf_s = 0.0
        self._quiet_s: float | None = None

    @property
    def quiet_s(self) -> float | None:
        """Seconds since the last sound of speech; None: none since a reply was heard."""
        return self._quiet_s

    def sounded(self) -> None:
        """The speaker has played something until now: what follows may be its echo."""
        self._deaf_s = ECHO_S
        self._before = self._before.reset()

    def feed(self, probability: float, duration: Seconds) -> None:
        """Take the probability that the next stretch of microphone audio is speech."""
        self._lasts_s += duration
        self._after = self._after.after(probability, duration)
        if self._quiet_s is not None:
            self._quiet_s += duration
        if self._deaf_s > 0:
            self._deaf_s -= duration
            return
        self._before = self._before.after(probability, duration)
        if self._before.since_s == 0.0:
            self._quiet_s = 0.0
        if self._before.stopped_s is not None:
            self._before = self._before.reset()

    def begins(self) -> bool:
        """The first sample of a reply is heard: return whether the person is speaking."""
        self._lasts_s = 0.0
        self._quiet_s = None
        self._after = self._after.reset()
        return self._before.speaks

    @property
    def over(self) -> bool:
        """Whether that speech has ended, with a pause that a service notices, or lasts too long to be believed."""
        return self._lasts_s >= LONGEST_S + self._pause_s or self._after.stopped_s is not None
