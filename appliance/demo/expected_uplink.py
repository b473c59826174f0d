"""What the service is owed of the microphone, reckoned from the conversation alone.

The uplink keeps its own accounts; a proof that took its word for what was to be sent would not see what it forgets.
"""

from dataclasses import dataclass, field
from typing import Final

from appliance.conversation import Moment
from appliance.core.events import WakeDetected
from appliance.core.state import NOT_SENDING, Gate, gate
from appliance.units import UPLINK, SampleIndex

Span = tuple[SampleIndex, SampleIndex]
_WAKE_WORD: Final = UPLINK.frames(1.2)
"""A long one."""


@dataclass(slots=True)
class ExpectedUplink:
    """The spans ``[start, stop)`` of the microphone that a hands-free conversation lets through."""

    spans: list[Span] = field(default_factory=list)
    """Those that have ended, in order; they do not overlap."""
    conversations: list[Span] = field(default_factory=list)
    """Those that have ended, from the beginning of what was said to the state of rest."""
    wake_words: list[Span] = field(default_factory=list)
    """Where they were said; nobody wants to have them sent."""
    _start: SampleIndex | None = None
    """Of the one that has not."""
    _begun: SampleIndex | None = None
    """Where the conversation began that has not ended."""

    def on_moment(self, moment: Moment, end: SampleIndex) -> None:
        """Follow a step of the conversation; ``end`` is the index after the newest microphone sample."""
        lets_through = gate(moment.after) is not Gate.CLOSED
        if lets_through and self._start is None:
            spoken_from = moment.event.speech_from if isinstance(moment.event, WakeDetected) else end
            before = self.spans[-1][1] if self.spans else 0
            self._start = SampleIndex(max(spoken_from, before))
        elif not lets_through and self._start is not None:
            self.spans.append((self._start, end))
            self._start = None
        if isinstance(moment.event, WakeDetected):
            said_from, said_to = moment.event.speech_from - _WAKE_WORD, moment.event.speech_from
            self.wake_words.append((SampleIndex(max(said_from, 0)), SampleIndex(said_to)))
        if moment.after.state in NOT_SENDING and self._begun is not None:
            self.conversations.append((self._begun, end))
            self._begun = None
        elif moment.after.state not in NOT_SENDING and self._begun is None:
            self._begun = end if self._start is None else self._start
