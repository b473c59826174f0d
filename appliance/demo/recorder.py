"""Writes down what a demo is to show: microphone, scores, steps of the conversation, errors."""

from dataclasses import dataclass, field
from typing import Final

import numpy as np

from appliance.audio.ports import Block
from appliance.conversation import Moment
from appliance.core.state import State
from appliance.demo.expected_uplink import Span
from appliance.errors import ApplianceError
from appliance.units import UPLINK, Pcm, Seconds
from appliance.wake.ports import Detection, Score

LONGEST_S: Final = 600.0
"""Microphone audio and scores after this are not kept; `Recording.full` says so."""


@dataclass(slots=True)
class Recording:
    """Everything on one time axis: seconds since the first microphone sample."""

    started_at: Seconds | None = None
    """Loop time of the first microphone sample."""
    blocks: list[Block] = field(default_factory=list)
    scores: list[Score] = field(default_factory=list)
    detections: list[Detection] = field(default_factory=list)
    moments: list[Moment] = field(default_factory=list)
    errors: list[ApplianceError] = field(default_factory=list)
    full: int = 0
    """Blocks that were not kept."""

    def on_block(self, block: Block) -> None:
        """Keep a block; the first one is the origin of the time axis."""
        if self.started_at is None:
            self.started_at = Seconds(block.captured_at - UPLINK.duration(len(block.samples)))
        if block.start > UPLINK.frames(LONGEST_S):
            self.full += 1
        else:
            self.blocks.append(block)

    def on_scores(self, scores: list[Score]) -> None:
        """Keep the scores of a few hops."""
        if not self.full:
            self.scores += scores

    def since_start(self, at: Seconds) -> float:
        """Return a moment on the recording's time axis."""
        return at - self.started_at if self.started_at is not None else 0.0

    def microphone(self) -> Pcm:
        """Return all samples kept, lost ones as zeros: index 0 is the stream's first sample."""
        if not self.blocks:
            return np.zeros(0, np.int16)
        last = self.blocks[-1]
        pcm = np.zeros(last.start + len(last.samples), np.int16)
        for block in self.blocks:
            pcm[block.start : block.start + len(block.samples)] = block.samples
        return pcm

    def captured(self, spans: list[Span]) -> Pcm:
        """Return the samples of these spans, one after the other."""
        pcm = self.microphone()
        return np.concatenate([np.zeros(0, np.int16), *(pcm[start:stop] for start, stop in spans)])

    def states(self) -> list[tuple[float, State]]:
        """Return (seconds, state) for every change, the state at the start first."""
        changes = [moment for moment in self.moments if moment.after.state is not moment.before.state]
        first = [(0.0, self.moments[0].before.state)] if self.moments else []
        return first + [(max(0.0, self.since_start(moment.at)), moment.after.state) for moment in changes]
