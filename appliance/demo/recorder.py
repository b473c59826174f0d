"""Records a demo: microphone, wake scores, steps of the conversation, errors."""

from dataclasses import dataclass, field
from typing import Final

import numpy as np

from appliance.audio.ports import Block
from appliance.conversation import Moment
from appliance.core.state import State
from appliance.demo.accounting import Span
from appliance.errors import ApplianceError
from appliance.units import UPLINK, Pcm, Seconds
from appliance.voice.ports import SpeechProbability
from appliance.wake.ports import Detection, Score

MAX_DURATION_S: Final = 600.0
"""Later microphone audio and scores are not recorded; `Recording.full` says so."""


@dataclass(slots=True)
class Recording:
    """All observations on one time axis: seconds since the first microphone sample."""

    started_at: Seconds | None = None
    """Loop time of the first microphone sample."""
    blocks: list[Block] = field(default_factory=list)
    scores: list[Score] = field(default_factory=list)
    voice: list[SpeechProbability] = field(default_factory=list)
    detections: list[Detection] = field(default_factory=list)
    moments: list[Moment] = field(default_factory=list)
    errors: list[ApplianceError] = field(default_factory=list)
    full: bool = False
    """Audio and scores came after `MAX_DURATION_S`."""

    def on_block(self, block: Block) -> None:
        """Record a block; the first one is the origin of the time axis."""
        if self.started_at is None:
            self.started_at = Seconds(block.captured_at - UPLINK.duration(len(block.samples)))
        if block.start > UPLINK.frames(MAX_DURATION_S):
            self.full = True
        else:
            self.blocks.append(block)

    def on_scores(self, scores: list[Score]) -> None:
        """Record wake scores."""
        if not self.full:
            self.scores += scores

    def on_voice(self, probabilities: list[SpeechProbability]) -> None:
        """Record how sure the voice detector is."""
        if not self.full:
            self.voice += probabilities

    def since_start(self, at: Seconds) -> float:
        """Convert a loop time to the recording's time axis."""
        return at - self.started_at if self.started_at is not None else 0.0

    def microphone(self) -> Pcm:
        """Return all recorded samples, lost ones as zeros; index 0 is the stream's first sample."""
        if not self.blocks:
            return np.zeros(0, np.int16)
        last = self.blocks[-1]
        pcm = np.zeros(last.start + len(last.samples), np.int16)
        for block in self.blocks:
            pcm[block.start : block.start + len(block.samples)] = block.samples
        return pcm

    def captured(self, spans: list[Span]) -> Pcm:
        """Return the samples of these spans, concatenated."""
        pcm = self.microphone()
        return np.concatenate([np.zeros(0, np.int16), *(pcm[start:stop] for start, stop in spans)])

    def states(self) -> list[tuple[float, State]]:
        """Return (seconds, state) for the initial state and every change."""
        changes = [moment for moment in self.moments if moment.after.state is not moment.before.state]
        first = [(0.0, self.moments[0].before.state)] if self.moments else []
        return first + [(max(0.0, self.since_start(moment.at)), moment.after.state) for moment in changes]
