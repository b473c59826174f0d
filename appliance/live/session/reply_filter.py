"""Which audio belongs to which reply, and which is to be thrown away: the epochs of the model's turns.

Pure; times are monotonic.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from appliance.core.events import ReplyEnded, ReplyStarted, ServerInterrupted
from appliance.live.messages import (
    GenerationComplete,
    HeardText,
    Interrupted,
    LinkMessage,
    ReplyAudio,
    SpeechEnded,
    ToolCall,
    TurnComplete,
)
from appliance.units import Epoch, Seconds

STALE_S: Final = 0.5
"""Audio of a turn that the service has cut comes without a longer pause; no answer to an interruption comes sooner."""


@dataclass(frozen=True, slots=True)
class ReplyChunk:
    """Audio of reply ``epoch`` that is to be played: s16le, 24 kHz mono."""

    epoch: Epoch
    pcm: bytes = field(repr=False)


ReplyFact = ReplyChunk | ReplyStarted | ReplyEnded | ServerInterrupted


class _Turn(Enum):
    """How far the model's turn has come."""

    NONE = "none"
    AUDIBLE = "audible"
    """Its audio is admitted."""
    SPENT = "spent"
    """No more audio comes of it, and its end has been told or does not matter; its TurnComplete may still come."""
    DISCARDED = "discarded"
    """We have ended it; what still comes of it is dropped until the service has noticed."""
    CUT = "cut"
    """The service has ended it; what is still under way of it is dropped."""


class ReplyFilter:
    """Numbers the replies of all links; fed with the messages of one link after the other.

    A reply is one turn of the model that has audio. Its first audio begins a new epoch; GenerationComplete, or
    TurnComplete where the former is missing, ends it, once. A turn without audio ends with epoch 0. A turn that was
    interrupted or discarded has no end besides.

    What follows an interruption is dropped until the turn's TurnComplete or GenerationComplete; should both be missing,
    until something shows that a later turn has begun: a transcript, an end of speech, a tool call, or audio after a
    pause, since a service may tell none of these. An interruption while no audio is being sent (the reply is only
    being played still, or has not begun) drops nothing.
    """

    def __init__(self) -> None:
        self._link = 0
        self._epoch = Epoch(0)
        self._turn = _Turn.NONE
        self._cut_at = Seconds(0.0)
        """When the last of a turn that the service has cut came."""
        self.dropped_bytes = 0
        """Audio that was not admitted since the start."""

    def begin_link(self, link: int) -> None:
        """Forget the turn of the link before; the epochs go on."""
        self._link = link
        self._turn = _Turn.NONE

    def discard(self) -> None:
        """Drop the rest of the turn whose audio is under way, if there is one."""
        if self._turn is _Turn.AUDIBLE:
            self._turn = _Turn.DISCARDED

    def feed(self, message: LinkMessage, now: Seconds) -> Iterator[ReplyFact]:
        """Yield what ``message`` means for the replies, in order; to be read to its end.

        A `discard` between the beginning of a reply and its first audio holds that audio back.
        """
        match message:
            case ReplyAudio():
                yield from self._audio(message.pcm, now)
            case GenerationComplete() if self._turn is not _Turn.NONE:
                yield from self._end(_Turn.SPENT)
            case TurnComplete() if self._turn is _Turn.NONE:
                yield ReplyEnded(self._link, 0)
            case TurnComplete():
                yield from self._end(_Turn.NONE)
            case Interrupted():
                self._cut_at = now
                yield from self._interrupted()
            case HeardText() | SpeechEnded() | ToolCall() if self._turn is _Turn.CUT:
                self._turn = _Turn.SPENT

    def _audio(self, pcm: bytes, now: Seconds) -> Iterator[ReplyFact]:
        if self._turn is _Turn.CUT and now - self._cut_at >= STALE_S:
            self._turn = _Turn.SPENT
        if self._turn in {_Turn.NONE, _Turn.SPENT}:
            self._turn = _Turn.AUDIBLE
            self._epoch = Epoch(self._epoch + 1)
            yield ReplyStarted(self._link, self._epoch)
        if self._turn is _Turn.AUDIBLE:
            yield ReplyChunk(self._epoch, pcm)
        else:
            self._cut_at = now
            self.dropped_bytes += len(pcm)

    def _end(self, turn: _Turn) -> Iterator[ReplyFact]:
        ended = self._turn is _Turn.AUDIBLE
        self._turn = turn
        if ended:
            yield ReplyEnded(self._link, self._epoch)

    def _interrupted(self) -> Iterator[ReplyFact]:
        news = self._turn is not _Turn.DISCARDED
        self._turn = _Turn.SPENT if self._turn in {_Turn.NONE, _Turn.SPENT} else _Turn.CUT
        if news:
            yield ServerInterrupted(self._link)
