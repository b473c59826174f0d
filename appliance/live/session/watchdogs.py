"""Watchdogs over a service that is connected and does not do its work. Pure; times are monotonic.

Each detector is fed with facts and says at most one thing. `Watchdogs` holds them together: it knows about turns of the
person, which outlive a connection, and about connections. Silence that the model chose (a turn that ends without audio)
is no fault.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from math import inf
from statistics import median

import numpy as np

from appliance.audio.level import rms_dbfs
from appliance.live.messages import (
    GenerationComplete,
    Grounding,
    HeardText,
    Interaction,
    Interrupted,
    LinkMessage,
    ReplyAudio,
    SpokenText,
    StatusReported,
    Thinking,
    ToolCall,
    ToolCallsCancelled,
    TurnComplete,
    TurnReason,
    UsageReported,
    WaitingForInput,
)
from appliance.live.session.diagnosis import Action, Diagnosis, Symptom
from appliance.units import REPLY, Seconds


@dataclass(frozen=True, slots=True)
class Limits:
    """How long is too long, in seconds, and how quiet is mute."""

    reply_s: float = 6.5
    """From the last sign of life to the next; with the way to the person 8 s at most."""
    stuck_s: float = 30.0
    """From the end of speech to an answer, whatever signs of life there are."""
    mute_dbfs: float = -60.0
    mute_s: float = 2.0
    """So much audio without a sound is a mute reply, and less if there is no more."""
    phantom_s: float = 2.0
    """An interruption so long after the last speech is none."""
    phantom_turns: int = 2
    stall_s: float = 1.5
    """With four samples a second noticed within 2 s."""
    creep_factor: float = 2.0
    creep_s: float = 0.4
    """A smaller growth than this is not felt."""
    creep_turns: int = 3
    """So many answers make a measurement."""


class _ReplyTimeout:
    """Waits for the answer to one turn of the person."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._retried = False
        self._stopped_at: Seconds | None = None
        """None while nobody waits for an answer."""
        self._began = Seconds(0.0)
        self._alive_at = Seconds(0.0)
        self._tools: set[str] = set()
        self._tools_used = False
        self._in_progress = False
        self._goes_on = False
        """A turn of the model is over, and the service works on: more is to come."""
        self._partly = False
        """There was something to hear in such a turn."""

    def turn(self) -> None:
        self._retried = self._tools_used = self._partly = False
        self._tools.clear()
        self.over()

    def link_opened(self, now: Seconds) -> None:
        self._began = self._alive_at = now
        self._in_progress = self._goes_on = False

    def tools_gone(self) -> None:
        self._tools.clear()

    def stopped(self, now: Seconds) -> None:
        self._stopped_at = self._began = self._alive_at = now

    def progress(self, now: Seconds) -> None:
        self._in_progress = True
        self._alive_at = now

    def turn_of_several(self, now: Seconds, *, audible: bool) -> None:
        self._goes_on = True
        self._partly = self._partly or audible
        self._stopped_at = self._began = self._alive_at = now

    def idle(self) -> None:
        self._in_progress = False
        if self._goes_on:
            self.over()

    def alive(self, now: Seconds) -> None:
        self._alive_at = now

    def tools_called(self, call: str) -> None:
        self._tools.add(call)
        self._tools_used = True

    def tools_done(self, calls: Iterable[str], now: Seconds) -> None:
        self._tools.difference_update(calls)
        self._began = self._alive_at = now

    def answered(self, now: Seconds) -> float | None:
        """Return how long the service took; None where nobody waited, or tools had a share in it."""
        stopped_at, alone = self._stopped_at, not (self._tools_used or self._goes_on)
        self.over()
        return now - stopped_at if stopped_at is not None and alone else None

    def over(self) -> None:
        self._stopped_at = None
        self._goes_on = False

    @property
    def waiting(self) -> bool:
        return self._stopped_at is not None

    def fail(self, kind: Symptom) -> Diagnosis:
        # What a tool has done is not to be done twice, nor what was said to be heard twice.
        vain = self._retried or self._tools_used or self._partly
        remedy = Action.APOLOGISE if vain else Action.RETRY_UTTERANCE
        self._retried = True
        self.over()
        return Diagnosis(kind, remedy)

    def due(self) -> Seconds | None:
        if not self.waiting or self._tools:
            return None
        stuck_at = Seconds(self._began + self._limits.stuck_s)
        return stuck_at if self._in_progress else min(Seconds(self._alive_at + self._limits.reply_s), stuck_at)

    def check(self, now: Seconds) -> Diagnosis | None:
        due = self.due()
        if due is None or now < due:
            return None
        return self.fail(Symptom.STUCK if due >= self._began + self._limits.stuck_s else Symptom.NO_REPLY)


class _FalseInterruptionDetector:
    """Suspects an interruption that came while nobody spoke."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._speech_at: Seconds | None = None
        self._silent_turns: int | None = None
        """None without a suspicion."""

    def speech(self, now: Seconds) -> None:
        self._speech_at = now

    def interrupted(self, now: Seconds) -> None:
        spoken = self._speech_at is not None and now - self._speech_at <= self._limits.phantom_s
        self._silent_turns = None if spoken else 0

    def audible(self) -> None:
        self._silent_turns = None

    def turn_without_audio(self) -> Diagnosis | None:
        if self._silent_turns is None:
            return None
        self._silent_turns += 1
        if self._silent_turns < self._limits.phantom_turns:
            return None
        self._silent_turns = None
        return Diagnosis(Symptom.PHANTOM_INTERRUPTION, Action.ROTATE)


class _LatencyDriftDetector:
    """Compares the newest answers of a connection with its first ones."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._first: list[float] = []
        self._newest: list[float] = []

    def answered(self, after_s: float) -> Diagnosis | None:
        limits = self._limits
        if len(self._first) < limits.creep_turns:
            self._first.append(after_s)
            return None
        self._newest = [*self._newest, after_s][-limits.creep_turns :]
        was, is_now = median(self._first), median(self._newest)
        if len(self._newest) < limits.creep_turns or is_now < max(limits.creep_factor * was, was + limits.creep_s):
            return None
        self._newest = []
        return Diagnosis(Symptom.LATENCY_CREEP, Action.ROTATE)


class _SendStallDetector:
    """Watches whether bytes leave."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._left = -1
        self._waits_since: Seconds | None = None
        """None while nothing waits; in the far future after a finding."""

    def sample(self, written: int, queued: int, now: Seconds) -> Diagnosis | None:
        left, before = written - queued, self._left
        self._left = left
        if queued == 0:
            self._waits_since = None
            return None
        if left > before or self._waits_since is None:
            self._waits_since = now
        if now - self._waits_since < self._limits.stall_s:
            return None
        self._waits_since = Seconds(inf)
        return Diagnosis(Symptom.STALLED_UPLINK, Action.ROTATE)


class Watchdogs:
    """All watchdogs of one conversation. Feed it with what happens, ask `check` at `due`.

    One utterance is retried once: what goes wrong again in the same turn of the person asks for an apology. When the
    person begins and stops is for the caller to tell, who knows what is a repetition: the service's own word for it is
    not taken from its messages.
    """

    def __init__(self, limits: Limits = Limits()) -> None:
        self._limits = limits
        self._answer = _ReplyTimeout(limits)
        self._renew()

    def link_opened(self, now: Seconds) -> None:
        """Another connection: what was wrong with the last one is over. The turn of the person goes on, patiently."""
        self._answer.link_opened(now)
        self._renew()

    def _renew(self) -> None:
        self._phantom = _FalseInterruptionDetector(self._limits)
        self._creep = _LatencyDriftDetector(self._limits)
        self._uplink = _SendStallDetector(self._limits)
        self._working_since: Seconds | None = None
        self._turn_begins()

    def _turn_begins(self) -> None:
        """A turn of the model."""
        self._mute_s = 0.0
        self._audible = False

    # What happens here

    def turn(self, now: Seconds) -> None:
        """A new turn of the person begins: the wake word, a press, speech after an answer. Not when one is repeated."""
        self._answer.turn()
        self._phantom.speech(now)

    def speech(self, now: Seconds) -> None:
        """There is speech at the microphone, as far as it is known here."""
        self._phantom.speech(now)

    def stopped(self, now: Seconds) -> None:
        """The person has stopped speaking, or what they said has been sent again: from now on an answer is due."""
        self._answer.stopped(now)
        self._phantom.speech(now)
        self._turn_begins()

    @property
    def waiting(self) -> bool:
        """Whether an answer is due."""
        return self._answer.waiting

    @property
    def audible(self) -> bool:
        """Whether there was something to hear in the turn of the model that is under way."""
        return self._audible

    def tools_gone(self) -> None:
        """The session that had asked for tools is lost."""
        self._answer.tools_gone()

    def tool_done(self, call: str, now: Seconds) -> None:
        """A tool's result was sent, or was dropped."""
        self._answer.tools_done([call], now)

    def sent(self, written: int, queued: int, now: Seconds) -> Diagnosis | None:
        """So many bytes were given to the connection since it was opened, and so many have not left yet."""
        return self._uplink.sample(written, queued, now)

    # What the service says

    def feed(self, message: LinkMessage, now: Seconds) -> Diagnosis | None:
        """Take one message; return what it shows to be wrong."""
        match message:
            case ReplyAudio():
                return self._audio(message.pcm, now)
            case GenerationComplete() | TurnComplete():
                return self._turn_ended(message, now)
            case Interrupted():
                self._phantom.interrupted(now)
            case ToolCall():
                self._answer.tools_called(message.id)
            case ToolCallsCancelled():
                self._answer.tools_done(message.ids, now)
            case WaitingForInput():
                self._answer.over()
            case StatusReported():
                self._status(message.status, now)
            case Thinking() | Grounding() | UsageReported() | HeardText() | SpokenText():
                self._alive(now)
        return None

    def _alive(self, now: Seconds) -> None:
        self._answer.alive(now)
        if self._working_since is not None:
            self._working_since = now

    def _audio(self, pcm: bytes, now: Seconds) -> Diagnosis | None:
        if self._audible:
            return None
        if rms_dbfs(np.frombuffer(pcm, "<i2")) < self._limits.mute_dbfs:
            self._mute_s += REPLY.duration(len(pcm) // 2)
            return self._mute() if self._mute_s >= self._limits.mute_s else None
        self._audible = True
        self._phantom.audible()
        self._alive(now)
        after_s = self._answer.answered(now)
        return None if after_s is None else self._creep.answered(after_s)

    def _mute(self) -> Diagnosis | None:
        self._mute_s = 0.0
        return self._answer.fail(Symptom.MUTE_REPLY) if self._answer.waiting else None

    def _turn_ended(self, message: GenerationComplete | TurnComplete, now: Seconds) -> Diagnosis | None:
        if self._mute_s and not self._audible and (finding := self._mute()):
            return finding
        if isinstance(message, GenerationComplete):
            return None
        audible = self._audible
        self._turn_begins()
        if self._working_since is not None:
            self._alive(now)  # one of several turns for one request
            self._answer.turn_of_several(now, audible=audible)
            return None
        if message.reason is TurnReason.FAILED and not audible and self._answer.waiting:
            return self._answer.fail(Symptom.FAILED_TURN)
        self._answer.over()
        return None if audible else self._phantom.turn_without_audio()

    def _status(self, status: Interaction, now: Seconds) -> None:
        if status is Interaction.IN_PROGRESS:
            self._working_since = now
            self._answer.progress(now)
        else:
            self._working_since = None
            self._answer.idle()

    # Time

    def due(self) -> Seconds | None:
        """Return when to `check` next; None: nothing can go wrong by time alone."""
        moments = (self._answer.due(), self._stuck_at())
        return min((moment for moment in moments if moment is not None), default=None)

    def _stuck_at(self) -> Seconds | None:
        """An answer was given and the service works on; while somebody waits, that wait decides."""
        if self._working_since is None or self._answer.waiting:
            return None
        return Seconds(self._working_since + self._limits.stuck_s)

    def check(self, now: Seconds) -> Diagnosis | None:
        """Return what takes too long by now; each thing once."""
        if finding := self._answer.check(now):
            self._working_since = None
            return finding
        stuck_at = self._stuck_at()
        if stuck_at is None or now < stuck_at:
            return None
        self._working_since = None
        return Diagnosis(Symptom.STUCK, Action.ROTATE)
