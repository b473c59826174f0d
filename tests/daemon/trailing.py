"""The silence that ends a turn: a model that does not heed audioStreamEnd needs to hear it (gemini-3.8-live).

After the last word of a hands-free turn, enough live audio is offered on the link that has the word: to the first time,
and to a repetition.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from math import inf
from typing import Final

import numpy as np

from appliance.conversation import Moment
from appliance.core.events import OverlapEnded, ReplyStarted
from appliance.core.state import Mode, State
from appliance.units import UPLINK
from tests.support.simulated_link import SimulatedLink

SILENCE_S: Final = 0.6
"""The simulator takes it for the end of a turn."""
MARGIN_S: Final = 0.3
WITHIN_S: Final = 2.0
_LOUD: Final = 1000
_GOES_ON: Final = frozenset({State.LISTENING, State.THINKING, State.INTERRUPTED})
"""Where an answer is due, or more words are."""


def check_trailing_audio(links: Sequence[SimulatedLink], moments: Sequence[Moment]) -> int:
    """Hold it for every word that nothing else came after; return how many there were."""
    checked = 0
    for link in links:
        if link.mode is not Mode.HANDS_FREE:
            continue
        for at, trailing in _last_words(link):
            if at + WITHIN_S < link.closed_at and not _comes_to_something(at, moments):
                assert trailing >= UPLINK.frames(SILENCE_S + MARGIN_S), f"the words at {at:.2f} have no end to be heard"
                checked += 1
    return checked


def _last_words(link: SimulatedLink) -> Iterator[tuple[float, int]]:
    """Yield when a word was offered after which none came for a while, and how many samples came instead."""
    words = [at for at, pcm in link.offered if np.abs(np.frombuffer(pcm, "<i2").astype(int)).max(initial=0) > _LOUD]
    for at, following in pairwise([*words, inf]):
        if following > at + WITHIN_S:
            yield at, sum(len(pcm) // 2 for when, pcm in link.offered if at < when <= at + WITHIN_S)


def _comes_to_something(at: float, moments: Sequence[Moment]) -> bool:
    """Tell whether the words are being answered, are cut off, or are held for another link."""
    before = [moment for moment in moments if moment.at <= at]
    during = [moment for moment in moments if at < moment.at <= at + WITHIN_S]
    states = {moment.after.state for moment in (*before[-1:], *during)}
    decided = any(isinstance(moment.event, ReplyStarted | OverlapEnded) for moment in during)
    return decided or not states <= _GOES_ON
