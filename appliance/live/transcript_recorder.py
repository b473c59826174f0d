"""Follows a conversation word by word: what was said, and of an answer that was cut off, what was heard. Pure.

Kept in memory only, see `memory`.
"""

from dataclasses import dataclass
from typing import Final

from appliance.live.messages import Grounding, HeardText, Interrupted, LinkMessage, SpokenText, TurnComplete
from appliance.live.ports import Role, Turn
from appliance.live.transcript import Piece, Transcript, heard_part, interruption_note
from appliance.units import Epoch

LONGEST_TURN: Final = 50_000
"""Characters of one turn of one speaker that are kept; an hour of speech. What comes after them is dropped."""
MOST_SOURCES: Final = 100


@dataclass(frozen=True, slots=True)
class TruncatedReply:
    """An answer that was not heard to its end."""

    heard: int
    """Samples, 24 kHz."""
    received: int
    note: str | None
    """What to tell the model; None where nothing is known of its words."""


class TranscriptRecorder:
    """The words of one conversation, from link to link."""

    def __init__(self) -> None:
        self.transcript = Transcript()
        self._said: dict[Role, str] = {}
        self._sources: dict[str, None] = {}
        """Of the turn that is under way, each once, in order."""
        self._epoch = Epoch(0)
        self._begin()

    def _begin(self) -> None:
        """A reply."""
        self._over = False
        self._received = 0
        self._pieces: list[Piece] = []

    def written(self, text: str) -> None:
        """The person says something in writing."""
        self.transcript.end_turn()
        self.transcript.add(Role.PERSON, text)
        self.transcript.end_turn()

    def feed(self, message: LinkMessage) -> tuple[Turn, ...]:
        """Take a message; return the turns that are complete with it."""
        match message:
            case HeardText(text):
                self._add(Role.PERSON, text)
            case SpokenText(text):
                if self._over:
                    self._begin()
                if len(self._said.get(Role.MODEL, "")) < LONGEST_TURN:
                    self._pieces.append(Piece(text, self._received))
                self._add(Role.MODEL, text)
            case Grounding(sources):
                self._sources |= dict.fromkeys(sources[: MOST_SOURCES - len(self._sources)])
            case TurnComplete() | Interrupted():
                return self._turn_ended()
        return ()

    def received(self, epoch: Epoch, samples: int) -> None:
        """So many samples of a reply have come."""
        if epoch != self._epoch and (self._over or self._received):
            self._begin()
        self._epoch = epoch
        self._received += samples

    @property
    def epoch(self) -> Epoch:
        """The newest reply; 0 before the first."""
        return self._epoch

    def cut(self, heard: int) -> TruncatedReply | None:
        """The newest reply was cut off after so many samples; None if it was heard to its end, or there is none."""
        if heard >= self._received:
            return None
        words = heard_part(self._pieces, self._received, heard)
        if self._pieces:
            self.transcript.heard_only(words)
        cut = TruncatedReply(heard, self._received, interruption_note(words) if self._pieces else None)
        self._received = heard
        self._pieces = []
        return cut

    def _add(self, speaker: Role, text: str) -> None:
        self.transcript.add(speaker, text)
        self._said[speaker] = (self._said.get(speaker, "") + text)[:LONGEST_TURN]

    def _turn_ended(self) -> tuple[Turn, ...]:
        self._over = True
        self.transcript.end_turn()
        sources = {Role.MODEL: tuple(self._sources)}
        turns = tuple(
            Turn(speaker, self._said[speaker].strip(), sources.get(speaker, ()))
            for speaker in Role
            if speaker in self._said
        )
        self._said.clear()
        self._sources.clear()
        return turns
