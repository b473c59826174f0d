"""Accounts for every microphone sample: which were to be sent, which were received, which were never to be sent."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from appliance.conversation import Moment
from appliance.core.events import WakeDetected
from appliance.core.state import NOT_SENDING, Gate, State, gate
from appliance.live.session.voice_activity import VoiceActivity
from appliance.units import UPLINK, Pcm, SampleIndex, Seconds
from appliance.voice.level import LevelVoiceDetector
from appliance.voice.ports import WINDOW as VOICE_WINDOW
from appliance.voice.ports import WINDOW_S

Span = tuple[SampleIndex, SampleIndex]
"""Microphone samples ``[start, stop)``."""
WINDOW: Final = 64
"""Samples (4 ms) that identify a place in a recording."""
_WAKE_WORD: Final = UPLINK.frames(1.2)
"""Length of a long wake word."""
_PAUSE_S: Final = 0.1
"""Shorter pauses are part of a word."""


@dataclass(slots=True)
class ExpectedUplink:
    """The spans of the microphone's stream that a hands-free conversation lets through.

    Derived from the conversation alone: the uplink keeps its own accounts, but they would not show what it forgets.
    """

    spans: list[Span] = field(default_factory=list)
    """Closed spans in order; they do not overlap."""
    conversations: list[Span] = field(default_factory=list)
    """Finished conversations, from the first word to the state of rest."""
    wake_words: list[Span] = field(default_factory=list)
    """Where wake words were said; they are not to be sent."""
    after_replies: int = 0
    """Spans that began with the end of a reply; the echo of that is not sent."""
    _start: SampleIndex | None = None
    """Start of the open span."""
    _conversation_start: SampleIndex | None = None
    """Start of the current conversation."""

    def on_moment(self, moment: Moment, end: SampleIndex) -> None:
        """Follow a step of the conversation; ``end`` is the index after the newest microphone sample."""
        lets_through = gate(moment.after) is not Gate.CLOSED
        if lets_through and self._start is None:
            spoken_from = moment.event.speech_from if isinstance(moment.event, WakeDetected) else end
            before = self.spans[-1][1] if self.spans else 0
            self._start = SampleIndex(max(spoken_from, before))
            self.after_replies += moment.before.state is State.SPEAKING
        elif not lets_through and self._start is not None:
            self.spans.append((self._start, end))
            self._start = None
        if isinstance(moment.event, WakeDetected):
            said_from, said_to = moment.event.speech_from - _WAKE_WORD, moment.event.speech_from
            self.wake_words.append((SampleIndex(max(said_from, 0)), SampleIndex(said_to)))
        if moment.after.state in NOT_SENDING and self._conversation_start is not None:
            self.conversations.append((self._conversation_start, end))
            self._conversation_start = None
        elif moment.after.state not in NOT_SENDING and self._conversation_start is None:
            self._conversation_start = end if self._start is None else self._start


@dataclass(frozen=True, slots=True)
class Account:
    """Sample counts; lost, duplicated and strange must be 0."""

    captured: int
    received: int
    lost: int
    """Captured and never received."""
    duplicated: int
    """Received more than once without need."""
    strange: int
    """Received and never captured."""
    repeated: int = 0
    """Resent on purpose: a question was asked again, or its end was resent over another connection."""

    echo: int = 0
    """Not sent on purpose: the echo of a reply, before the microphone was the person's again."""

    def with_echo(self, most: int) -> "Account":
        """Return the account with up to ``most`` lost samples counted as echo."""
        echo = min(most, self.lost)
        return replace(self, lost=self.lost - echo, echo=echo)

    def with_repeats(self, resent: int) -> "Account":
        """Return the account with up to ``resent`` duplicated samples counted as repeated."""
        repeated = min(resent, self.duplicated)
        return replace(self, duplicated=self.duplicated - repeated, repeated=repeated)


def account(captured: Pcm, received: Pcm) -> Account:
    """Compare sample by sample; after a difference, continue at the next place where both agree for `WINDOW`."""
    at, lost, duplicated, strange = 0, 0, 0, 0
    position = 0
    while position < len(received):
        same = _common_prefix(captured[at:], received[position:])
        at, position = at + same, position + same
        if position == len(received):
            break
        found = _find(captured, received[position : position + WINDOW], at)
        if found is None:
            strange, position = strange + 1, position + 1
        elif found >= at:
            lost, at = lost + found - at, found
        else:
            again = min(_common_prefix(captured[found:], received[position:]), at - found)
            duplicated, position = duplicated + again, position + again
    return Account(len(captured), len(received), lost + len(captured) - at, duplicated, strange)


def unsent_speech_s(microphone: Pcm, conversations: Sequence[Span], accounted: Sequence[Span]) -> Seconds:
    """Return the duration of speech, by loudness, within ``conversations`` and outside of ``accounted``.

    Args:
        microphone: All samples, 16 kHz mono; index 0 is the stream's first sample.
        conversations: From the wake word to the state of rest.
        accounted: Expected by the service, or the wake word itself. Speaker output that the microphone picks up counts
            as speech.
    """
    windows = 0
    speech = VoiceActivity(least_s=0.0, longest_pause_s=_PAUSE_S)
    for window in LevelVoiceDetector().feed(SampleIndex(0), microphone):
        speech = speech.after(window.probability, WINDOW_S)
        middle = window.end_sample - VOICE_WINDOW // 2
        if _within(middle, conversations) and not _within(middle, accounted):
            windows += speech.begins
    return Seconds(round(windows * WINDOW_S, 2))


def _within(index: int, spans: Sequence[Span]) -> bool:
    return any(start <= index < stop for start, stop in spans)


def _common_prefix(one: Pcm, other: Pcm) -> int:
    """Return the number of equal samples from the start."""
    length = min(len(one), len(other))
    differences = np.flatnonzero(one[:length] != other[:length])
    return int(differences[0]) if len(differences) else length


def _find(captured: Pcm, window: Pcm, near: int) -> int | None:
    """Return a position of ``window`` in ``captured``: the first from ``near`` on, else the last before it."""
    if not len(window) or len(captured) < len(window):
        return None
    places = np.lib.stride_tricks.sliding_window_view(captured, len(window))
    starts = np.flatnonzero(captured[: len(places)] == window[0])
    matches = starts[(places[starts] == window).all(axis=1)]
    after = matches[matches >= near]
    if len(after):
        return int(after[0])
    return int(matches[-1]) if len(matches) else None
