"""Whether the person speaks on while a reply begins, by loudness alone. Pure.

Before the first sample of a reply is heard, what is loud at the microphone cannot be its echo. So speech that began
before may be let through to its end, also where the speaker reaches the microphone.
"""

from typing import Final

from appliance.live.voice import Loudness, Voice
from appliance.units import Dbfs, Seconds

ECHO_S: Final = 0.7
"""How long after the last sample should have been heard a slow speaker (a television, Bluetooth) may still sound."""
LONGEST_S: Final = 5.0
"""The service interrupts a reply sooner than this where it hears the person; what is loud for longer may be echo."""
_SPEAKS: Final = Loudness(spoken_s=0.2, pause_s=0.4)
_SPOKE: Final = Loudness(spoken_s=0.0)
"""Its pause is what a service needs to notice the end of a turn."""


class DoubleTalk:
    """Feed it with the microphone's level throughout a conversation."""

    def __init__(self) -> None:
        self._before = Voice(_SPEAKS)
        self._after = Voice(_SPOKE)
        self._lasts_s = 0.0
        self._deaf_s = 0.0

    def sounded(self) -> None:
        """The speaker has played something until now: what follows may be its echo."""
        self._deaf_s = ECHO_S
        self._before.reset()

    def feed(self, level: Dbfs, duration: Seconds) -> None:
        """Take the level of the next stretch of microphone audio."""
        self._lasts_s += duration
        self._after.feed(level, duration)
        if self._deaf_s > 0:
            self._deaf_s -= duration
            return
        self._before.feed(level, duration)
        if self._before.stopped_s is not None:
            self._before.reset()

    def begins(self) -> bool:
        """The first sample of a reply is heard: return whether the person is speaking."""
        self._lasts_s = 0.0
        self._after.reset()
        return self._before.speaks

    @property
    def over(self) -> bool:
        """Whether that speech has ended, with a pause that a service notices, or lasts too long to be believed."""
        return self._lasts_s >= LONGEST_S or self._after.stopped_s is not None
