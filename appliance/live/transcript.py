"""The transcript of a conversation, to seed a new session: the person's words, and the model's as far as heard. Pure.

Kept in memory only: bounded, never written to disk, never shown in a repr.
"""

import re
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Final

from appliance.live.messages import Grounding, HeardText, Interrupted, LinkMessage, SpokenText, TurnComplete
from appliance.live.model_capabilities import Capabilities, Feature
from appliance.live.ports import HistorySeed, Role, SeedMethod, Turn
from appliance.units import Epoch

MAX_TURNS: Final = 20
MAX_CHARACTERS: Final = 4000
"""About a thousand tokens, billed with every turn of the new session."""
MAX_TURN_CHARACTERS: Final = 50_000
"""Characters kept of one turn of one side: an hour of speech. The rest is dropped."""
MAX_SOURCES: Final = 100
_CUT: Final = "…"


class Transcript:
    """The last turns of a conversation, at most ``max_turns`` and ``max_characters``; the oldest text goes first."""

    def __init__(self, max_turns: int = MAX_TURNS, max_characters: int = MAX_CHARACTERS) -> None:
        self._max_characters = max_characters
        self._turns: deque[Turn] = deque(maxlen=max_turns)
        self._open = False
        """The newest turn may continue."""

    def __repr__(self) -> str:
        return f"Transcript({len(self._turns)} turns)"

    def add(self, role: Role, piece: str) -> None:
        """Append a piece with its spaces, as the service sends it; a turn's leading space is dropped."""
        if self._open and self._turns and self._turns[-1].role is role:
            text = self._turns.pop().text + piece
        else:
            text = piece.lstrip()
        self._open = True
        if text:
            self._turns.append(Turn(role, text))
        self._fit()

    def end_turn(self) -> None:
        """Close the newest turn: the next piece begins another one, even of the same side."""
        self._open = False

    def truncate_reply(self, text: str) -> None:
        """Replace the newest turn, the model's, by the part that was heard before an interruption (`heard_part`).

        Only for a reply with a transcript: without one, the newest turn is an older one.
        """
        if self._turns and self._turns[-1].role is Role.MODEL:
            self._turns.pop()
            if text.strip():
                self._turns.append(Turn(Role.MODEL, f"{text.rstrip()}{_CUT}"))
            self._fit()
        self.end_turn()

    def forget_unanswered(self) -> None:
        """Drop the person's last turn if it has no answer: it is about to be resent."""
        if self._turns and self._turns[-1].role is Role.PERSON:
            self._turns.pop()
        self.end_turn()

    def forget(self) -> None:
        """Drop everything."""
        self._turns.clear()
        self.end_turn()

    @property
    def turns(self) -> tuple[Turn, ...]:
        """The turns, oldest first."""
        return tuple(self._turns)

    def seed(self, known: Capabilities) -> HistorySeed | None:
        """Return the seed for a new session; None without a turn, or if the model accepts none."""
        if not self._turns:
            return None
        if known.has(Feature.CONTENT_AT_ANY_TIME):
            return HistorySeed(SeedMethod.CONTENT, self.turns)
        return HistorySeed(SeedMethod.INITIAL_HISTORY, self.turns) if known.has(Feature.INITIAL_HISTORY) else None

    def _fit(self) -> None:
        """Drop the oldest turns until the rest fits; of a single long one, keep the end."""
        spare = self._max_characters - sum(len(turn.text) for turn in self._turns)
        while spare < 0 and len(self._turns) > 1:
            spare += len(self._turns.popleft().text)
        if spare < 0:
            turn = self._turns.pop()
            self._turns.append(Turn(turn.role, turn.text[-self._max_characters :]))


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of a reply's transcript; ``at`` is where its audio begins, in samples received before it."""

    text: str = field(repr=False)
    at: int


def heard_part(pieces: Sequence[Piece], received: int, heard: int) -> str:
    """Return the words in the first ``heard`` of ``received`` samples of a reply.

    ``pieces`` are in order. A piece lasts until the next one that begins later; the letters of pieces with the same
    beginning share that time evenly. In languages with spaces, an unfinished word does not count as heard.
    """
    groups = [(at, "".join(piece.text for piece in group)) for at, group in groupby(pieces, key=lambda one: one.at)]
    ends = [*(at for at, _ in groups[1:]), received]
    letters = sum(_letters(words, at, end, heard) for (at, words), end in zip(groups, ends, strict=False))
    return _whole_words("".join(words for _, words in groups), letters)


def _letters(words: str, begin: int, end: int, heard: int) -> int:
    """Return how many letters of ``words``, spoken from ``begin`` to ``end``, are in the first ``heard`` samples."""
    if heard >= end:
        return len(words)
    return len(words) * max(0, heard - begin) // max(1, end - begin)


def _whole_words(text: str, letters: int) -> str:
    begun = text[:letters]
    cut = letters < len(text) and not text[letters].isspace() and re.search(r"\s", text)
    return (re.sub(r"\S+$", "", begun) if cut else begun).rstrip()


def interruption_note(heard: str) -> str:
    """Return the text that tells the model how much was heard; it assumes that all of its reply was."""
    if not heard.strip():
        return "(The person interrupted before hearing any of your last answer.)"
    return f'(The person interrupted. Of your last answer they heard only: "{heard.strip()}")'


@dataclass(frozen=True, slots=True)
class TruncatedReply:
    """A reply that was not heard to its end."""

    heard: int
    """Samples, 24 kHz."""
    received: int
    note: str | None
    """Text for the model (`interruption_note`); None without a transcript."""


class TranscriptRecorder:
    """Records the transcript of one conversation, across links."""

    def __init__(self) -> None:
        self.transcript = Transcript()
        self._said: dict[Role, str] = {}
        self._sources: dict[str, None] = {}
        """The current turn's sources, each once, in order."""
        self._epoch = Epoch(0)
        self._begin_reply()

    def _begin_reply(self) -> None:
        self._reply_ended = False
        self._received = 0
        self._pieces: list[Piece] = []

    def add_typed(self, text: str) -> None:
        """Add text that the person typed."""
        self.transcript.end_turn()
        self.transcript.add(Role.PERSON, text)
        self.transcript.end_turn()

    def feed(self, message: LinkMessage) -> tuple[Turn, ...]:
        """Take a message; return the turns that it completes."""
        match message:
            case HeardText(text):
                self._add(Role.PERSON, text)
            case SpokenText(text):
                if self._reply_ended:
                    self._begin_reply()
                if len(self._said.get(Role.MODEL, "")) < MAX_TURN_CHARACTERS:
                    self._pieces.append(Piece(text, self._received))
                self._add(Role.MODEL, text)
            case Grounding(sources):
                self._sources |= dict.fromkeys(sources[: MAX_SOURCES - len(self._sources)])
            case TurnComplete() | Interrupted():
                return self._turn_ended()
        return ()

    def received(self, epoch: Epoch, samples: int) -> None:
        """Count received samples of a reply."""
        if epoch != self._epoch and (self._reply_ended or self._received):
            self._begin_reply()
        self._epoch = epoch
        self._received += samples

    @property
    def epoch(self) -> Epoch:
        """The epoch of the newest reply; 0 before the first."""
        return self._epoch

    def truncate(self, heard: int) -> TruncatedReply | None:
        """Truncate the newest reply to the samples heard; None if it was heard to its end, or there is none."""
        if heard >= self._received:
            return None
        words = heard_part(self._pieces, self._received, heard)
        if self._pieces:
            self.transcript.truncate_reply(words)
        truncated = TruncatedReply(heard, self._received, interruption_note(words) if self._pieces else None)
        self._received = heard
        self._pieces = []
        return truncated

    def _add(self, role: Role, text: str) -> None:
        self.transcript.add(role, text)
        self._said[role] = (self._said.get(role, "") + text)[:MAX_TURN_CHARACTERS]

    def _turn_ended(self) -> tuple[Turn, ...]:
        self._reply_ended = True
        self.transcript.end_turn()
        sources = {Role.MODEL: tuple(self._sources)}
        turns = tuple(
            Turn(role, self._said[role].strip(), sources.get(role, ())) for role in Role if role in self._said
        )
        self._said.clear()
        self._sources.clear()
        return turns
