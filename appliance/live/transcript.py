"""What was said, as far as a new session has to be told of it, and how much of an answer was heard. Pure.

Kept in memory only: bounded, never written, never shown in a repr.
"""

import re
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Final

from appliance.live.model_capabilities import Capabilities, Feature
from appliance.live.ports import HistorySeed, Role, SeedMethod, Turn

MAX_TURNS: Final = 20
MAX_CHARACTERS: Final = 4000
"""About a thousand tokens, which every turn of the new session is billed for."""
_CUT: Final = "…"


class Transcript:
    """The last turns of a conversation. Bound: ``max_turns`` and ``max_characters``; the oldest words go first."""

    def __init__(self, max_turns: int = MAX_TURNS, max_characters: int = MAX_CHARACTERS) -> None:
        self._max_characters = max_characters
        self._turns: deque[Turn] = deque(maxlen=max_turns)
        self._open = False
        """More of the newest turn may come."""

    def __repr__(self) -> str:
        return f"Transcript({len(self._turns)} turns)"

    def add(self, speaker: Role, piece: str) -> None:
        """Append a piece as the service sends it: with its spaces, the first one's dropped."""
        if self._open and self._turns and self._turns[-1].role is speaker:
            text = self._turns.pop().text + piece
        else:
            text = piece.lstrip()
        self._open = True
        if text:
            self._turns.append(Turn(speaker, text))
        self._fit()

    def end_turn(self) -> None:
        """The newest turn is complete: what comes next is another one, even of the same speaker."""
        self._open = False

    def heard_only(self, text: str) -> None:
        """The person has interrupted the newest turn, the model's, and heard no more than ``text`` (`heard_part`).

        Only for an answer that had a transcript: without one, the newest turn is an older one.
        """
        if self._turns and self._turns[-1].role is Role.MODEL:
            self._turns.pop()
            if text.strip():
                self._turns.append(Turn(Role.MODEL, f"{text.rstrip()}{_CUT}"))
            self._fit()
        self.end_turn()

    def forget_unanswered(self) -> None:
        """Drop the person's words that have no answer: they are about to be sent again."""
        if self._turns and self._turns[-1].role is Role.PERSON:
            self._turns.pop()
        self.end_turn()

    def forget(self) -> None:
        """Drop everything: another conversation."""
        self._turns.clear()
        self.end_turn()

    @property
    def turns(self) -> tuple[Turn, ...]:
        """What is kept, oldest first."""
        return tuple(self._turns)

    def seed(self, known: Capabilities) -> HistorySeed | None:
        """Return what to tell a new session; None where nothing was said, or the model cannot be told."""
        if not self._turns:
            return None
        if known.has(Feature.CONTENT_AT_ANY_TIME):
            return HistorySeed(SeedMethod.CONTENT, self.turns)
        return HistorySeed(SeedMethod.INITIAL_HISTORY, self.turns) if known.has(Feature.INITIAL_HISTORY) else None

    def _fit(self) -> None:
        """Drop the oldest turns until the rest fits; of a single one that is too long, keep its end."""
        spare = self._max_characters - sum(len(turn.text) for turn in self._turns)
        while spare < 0 and len(self._turns) > 1:
            spare += len(self._turns.popleft().text)
        if spare < 0:
            turn = self._turns.pop()
            self._turns.append(Turn(turn.role, turn.text[-self._max_characters :]))


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of the transcript of a reply, and where its audio begins: samples of the reply received before it."""

    text: str = field(repr=False)
    at: int


def heard_part(pieces: Sequence[Piece], received: int, heard: int) -> str:
    """Return the words of a reply that were heard: of ``received`` samples the first ``heard``.

    ``pieces`` are in order. A piece lasts until the next one that begins later; pieces that came together share their
    time evenly among their letters. Whole words only, where there are spaces: one that is under way was not heard.
    """
    groups = [(at, "".join(piece.text for piece in group)) for at, group in groupby(pieces, key=lambda one: one.at)]
    ends = [*(at for at, _ in groups[1:]), received]
    letters = sum(_letters(words, at, end, heard) for (at, words), end in zip(groups, ends, strict=False))
    return _whole_words("".join(words for _, words in groups), letters)


def _letters(words: str, begin: int, end: int, heard: int) -> int:
    """Return how many letters of ``words``, spoken from ``begin`` to ``end``, the first ``heard`` samples hold."""
    if heard >= end:
        return len(words)
    return len(words) * max(0, heard - begin) // max(1, end - begin)


def _whole_words(text: str, letters: int) -> str:
    begun = text[:letters]
    cut = letters < len(text) and not text[letters].isspace() and re.search(r"\s", text)
    return (re.sub(r"\S+$", "", begun) if cut else begun).rstrip()


def interruption_note(heard: str) -> str:
    """Return what to tell the model about an interruption: it believes that all it had sent was heard."""
    if not heard.strip():
        return "(The person interrupted before hearing any of your last answer.)"
    return f'(The person interrupted. Of your last answer they heard only: "{heard.strip()}")'
