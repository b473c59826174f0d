"""A session machine, and time that moves on."""

import numpy as np

from appliance.core.state import Mode
from appliance.live.messages import LinkMessage, ReplyAudio
from appliance.live.session.facts import (
    ConnectionOpened,
    Diagnosis,
    Fact,
    FirstAudio,
    Output,
    SpeechMeasured,
    Ticked,
    TurnEnded,
    TurnTaken,
)
from appliance.live.session.machine import SessionMachine
from appliance.live.session.state import Limits, SessionState, reply_due, stuck_due
from appliance.units import REPLY, Seconds

LINK = 7
BLOCK_S = Seconds(0.02)


def tone(seconds: float = 0.1, peak: float = 8000.0) -> ReplyAudio:
    time = np.arange(REPLY.frames(seconds)) / REPLY.rate_hz
    return ReplyAudio((peak * np.sin(2 * np.pi * 440 * time)).astype("<i2").tobytes())


LOUD, MUTE = tone(), tone(peak=3.0)


class Story:
    """Feeds one machine as the manager and the receiver do; keeps what is found to be wrong."""

    def __init__(self, mode: Mode = Mode.HANDS_FREE, *, several_turns: bool = False) -> None:
        self.machine = SessionMachine(Limits())
        self.now = 100.0
        self.found: list[Diagnosis] = []
        self._mode, self._several_turns = mode, several_turns
        self.reconnect(continued=False)

    @property
    def state(self) -> SessionState:
        return self.machine.state

    @property
    def due(self) -> Seconds | None:
        """When something goes wrong by time alone."""
        return min((at for at in (reply_due(self.state), stuck_due(self.state)) if at is not None), default=None)

    def take(self, *facts: Fact) -> list[Output]:
        """Return what follows from facts, in order."""
        outputs: list[Output] = []
        for fact in facts:
            for output in self.machine.step(fact, Seconds(self.now)):
                outputs += self.take(output) if isinstance(output, FirstAudio) else [output]
        self.found += [output for output in outputs if isinstance(output, Diagnosis)]
        return outputs

    def hear(self, *messages: LinkMessage) -> "Story":
        self.take(*messages)
        return self

    def reconnect(self, *, continued: bool = True, link: int = LINK) -> "Story":
        self.take(ConnectionOpened(link, self._mode, continued, self._several_turns))
        return self

    def ask(self) -> "Story":
        """Let the person say something, of which the service does not report."""
        self.take(TurnTaken(Mode.PUSH_TO_TALK), TurnEnded())
        return self

    def wait(self, seconds: float) -> "Story":
        end = self.now + seconds
        while (due := self.due) is not None and due <= end:
            self.now = max(self.now, due)
            self.take(Ticked())
        self.now = end
        return self

    def voice(self, probability: float, seconds: float) -> "Story":
        """Let the detector hear speech with this probability for a while, without time going by."""
        self.take(*[SpeechMeasured(probability, BLOCK_S)] * round(seconds / BLOCK_S))
        return self

    def speak(self, seconds: float, then_s: float) -> "Story":
        return self.voice(0.9, seconds).voice(0.1, then_s)
