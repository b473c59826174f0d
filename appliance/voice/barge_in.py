"""Whether a person speaks over a reply that is being heard. Pure.

The echo canceller leaves little of the reply, and little of a person who is quieter than its echo. So a suspicion is
cheap: the reply is turned down, and whoever speaks is heard much better from then on.
"""

from typing import Final

from appliance.core.events import VoiceCeased, VoiceConfirmed, VoiceSuspected
from appliance.voice.ports import WINDOW_S

SUSPECTED: Final = 0.4
"""Probability of speech in `SUSPECTED_WINDOWS` windows in a row that is a suspicion."""
SUSPECTED_WINDOWS: Final = 2
CONFIRMED: Final = 0.5
"""Probability of speech in `CONFIRMED_WINDOWS` windows after the suspicion that confirms it."""
CONFIRMED_WINDOWS: Final = 4
STRICT: Final = 0.7
"""Probability of speech for either, after a person was found in error."""
HOLD_S: Final = 0.35
"""Time without a suspicious window after which the voice has ceased."""


class BargeInDetector:
    """Feed it with every window of a reply that is being heard; `reset` it between replies."""

    def __init__(self) -> None:
        self._in_a_row = 0
        self._confirming: int | None = None
        """Windows since the suspicion that confirm it; None while nobody is suspected."""
        self._quiet_s = 0.0

    def reset(self) -> None:
        """Forget everything: that the voice has ceased is not reported."""
        self._in_a_row, self._confirming, self._quiet_s = 0, None, 0.0

    def feed(self, probability: float, *, strict: bool) -> VoiceSuspected | VoiceConfirmed | VoiceCeased | None:
        """Take the probability that the next window is speech; return what that changes.

        ``strict``: a person was found in error before.
        """
        suspicious = probability >= (STRICT if strict else SUSPECTED)
        self._in_a_row = self._in_a_row + 1 if suspicious else 0
        self._quiet_s = 0.0 if suspicious else self._quiet_s + WINDOW_S
        if self._confirming is None:
            if self._in_a_row < SUSPECTED_WINDOWS:
                return None
            self._confirming = 0
            return VoiceSuspected()
        if self._quiet_s >= HOLD_S:
            self.reset()
            return VoiceCeased()
        if probability < (STRICT if strict else CONFIRMED):
            return None
        self._confirming += 1
        return VoiceConfirmed() if self._confirming == CONFIRMED_WINDOWS else None
