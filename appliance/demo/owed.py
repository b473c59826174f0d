"""What the service is owed of the microphone, reckoned from the conversation alone.

The uplink keeps its own accounts; a proof that took its word for what was to be sent would not see what it forgets.
"""

from dataclasses import dataclass, field

from appliance.conversation import Moment
from appliance.core.events import WakeDetected
from appliance.core.state import Uplink, gates
from appliance.units import SampleIndex

Span = tuple[SampleIndex, SampleIndex]


@dataclass(slots=True)
class Owed:
    """The spans ``[start, stop)`` of the microphone that a hands-free conversation lets through."""

    spans: list[Span] = field(default_factory=list)
    """Those that have ended, in order; they do not overlap."""
    _start: SampleIndex | None = None
    """Of the one that has not."""

    def on_moment(self, moment: Moment, end: SampleIndex) -> None:
        """Follow a step of the conversation; ``end`` is the index after the newest microphone sample."""
        lets_through = gates(moment.after).uplink is not Uplink.CLOSED
        if lets_through and self._start is None:
            spoken_from = moment.event.speech_from if isinstance(moment.event, WakeDetected) else end
            before = self.spans[-1][1] if self.spans else 0
            self._start = SampleIndex(max(spoken_from, before))
        elif not lets_through and self._start is not None:
            self.spans.append((self._start, end))
            self._start = None
