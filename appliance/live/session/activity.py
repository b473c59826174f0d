"""Activity over a link that decides when to act on a fault and when a swap is harmless. Pure; times are monotonic.

It joins the watchdogs (`patience`), the moment for a swap (`rotation`) and the microphone's own word for speech
(`voice`), and knows what a repetition is.
"""

from typing import Final

from appliance.core.state import Mode
from appliance.live.connecting.rotation import Busy, Notice, RotationDue, RotationInputs, due
from appliance.live.messages import (
    GenerationComplete,
    GoAway,
    HandleUpdated,
    HeardText,
    Interaction,
    Interrupted,
    LinkMessage,
    ReplyAudio,
    SpeechEnded,
    SpeechStarted,
    StatusReported,
    Thinking,
    ToolCall,
    ToolCallsCancelled,
    TurnComplete,
    TurnReason,
    WaitingForInput,
)
from appliance.live.ports import Traffic
from appliance.live.session.diagnosis import Action, Diagnosis, Symptom
from appliance.live.session.voice_activity import VoiceActivityDetector
from appliance.live.session.watchdogs import Limits, Watchdogs
from appliance.units import Dbfs, Seconds

OVERDUE_S: Final = 4.0
"""A service that tells when speech begins is given so long to tell of its end, once it is quiet at the microphone."""
LATE_S: Final = 2.0
"""So long after a turn of the model, the transcript of what it has answered may still come."""
_LIMITS: Final = Limits()


class SessionActivity:
    """Keeps watch over one conversation, from link to link. Feed it with what happens; ask it a few times a second."""

    def __init__(self, limits: Limits = _LIMITS) -> None:
        self._limits = limits
        self._voice = VoiceActivityDetector()
        self.conversation()

    def conversation(self) -> None:
        """Another conversation begins."""
        self._patience = Watchdogs(self._limits)
        self._voice.reset()
        self._tools: set[str] = set()
        self._speaks = False
        self._repeating = False
        self._noticed = False
        """The service has heard what is being said, or what may be said is not for it."""
        self._first = True
        """The model has not had a turn yet."""
        self._asked_twice = False
        """Words that the service had missed were sent once more."""
        self._turn_at: Seconds | None = None
        """When there was the last sign of a turn of the model that is no question any more."""
        self.heard = False
        """The service has given a sign of having heard what has no answer yet."""
        self.tool_ran = False
        """A tool was called for what the person has said."""
        self._tells = False
        """The service tells when speech begins, so that it should tell of its end as well."""
        self._renew(Seconds(0.0))

    def _renew(self, now: Seconds) -> None:
        self._opened_at = now
        self._notice: Notice | None = None
        self._wanted_since: Seconds | None = None
        self._answers = self._works = False
        self._resumable = True

    def link_opened(self, now: Seconds) -> None:
        """A link is open; the person's turn goes on, and so do the tools."""
        self._patience.link_opened(now)
        self._renew(now)

    def tools_gone(self) -> None:
        """The session that had asked for tools is lost."""
        self._patience.tools_gone()
        self._tools.clear()

    # The person

    def turn_begins(self, now: Seconds) -> None:
        """The person takes the word. While a turn is being repeated, it is no new one."""
        if not self._repeating:
            self._patience.turn(now)
            self.tool_ran = False

    def person_begins(self, now: Seconds) -> None:
        """The person speaks."""
        self._speaks = self._noticed = True
        self.turn_begins(now)

    def begins_here(self, now: Seconds) -> None:
        """The person speaks, and only the microphone tells."""
        self._speaks = True
        self.turn_begins(now)

    def person_stops(self, now: Seconds) -> None:
        """The person has said what there was to say: from now on an answer is due."""
        self._speaks, self._noticed = False, self._tells
        self._voice.reset()
        self._patience.stopped(now)

    def repeated(self, sent_at: Seconds) -> None:
        """The person's words are being sent once more, to their end at ``sent_at``."""
        self._repeating = self._noticed = True
        self._patience.stopped(sent_at)

    def heard_here(self, level: Dbfs, duration: Seconds) -> None:
        """Take the level of the next stretch of microphone audio."""
        self._voice.feed(level, duration)

    def speaks_unnoticed(self, mode: Mode) -> bool:
        """Return whether the person says words of which the service gives no sign yet; it may at their end.

        Where it has been found to tell when speech begins, only the first words count: later ones that it does not
        hear need not be meant for it.
        """
        return mode is Mode.HANDS_FREE and not (self._noticed or self._speaks) and self._voice.speaks

    def unnoticed_s(self, mode: Mode) -> float | None:
        """Return how long ago the person has stopped speaking where the service should have told and does not.

        Not every model tells of the end, and one that falls silent does not either.
        """
        if mode is not Mode.HANDS_FREE:
            return None
        if not self._noticed:
            stopped_s = self._voice.stopped_s
            return 0.0 if stopped_s is not None and self._first else stopped_s  # first words may be sent only now
        if not self._speaks:
            return None
        stopped_s = self._voice.stopped_s
        if stopped_s is None and not self._tells:
            stopped_s = self._voice.pause_s  # a short word, or a soft voice: the service alone has heard it
        elif not self._tells:
            return stopped_s
        return None if stopped_s is None or stopped_s < OVERDUE_S else stopped_s

    def overlooked(self, mode: Mode) -> bool:
        """Return whether the service has missed words after an answer, as it sometimes does; once after each answer.

        That is known only of a service that tells when people speak. It may do so on purpose: the words are worth
        sending once more, and no apology.
        """
        busy = self._first or self._speaks or self.waiting or self._answers
        if mode is not Mode.HANDS_FREE or not self._tells or busy or self._asked_twice or self._voice.stopped_s is None:
            return False
        self._asked_twice = True
        self._voice.reset()
        return True

    def is_replay(self, message: LinkMessage, now: Seconds) -> bool:
        """Return whether what the service hears was said before: transcripts come late, and repetitions are none."""
        if self._voice.begins:
            return False
        match message:
            case HeardText():
                return self.waiting or (self._turn_at is not None and now - self._turn_at < LATE_S)
            case SpeechStarted():
                return self._repeating and self.waiting
            case _:
                return False

    # The service

    def feed(self, message: LinkMessage, now: Seconds) -> Diagnosis | None:
        """Take one message; return what is to be done about it at once."""
        match message:
            case ReplyAudio():
                if not (self._tells or self.waiting):
                    self._answered_before_a_pause(now)
                self._answers = True
                self._answered_so_far(now)
            case Thinking():
                self._answers = True
            case TurnComplete() | GenerationComplete() | Interrupted():
                self.heard = self.heard and not self._answers
                self._answers = False
                self._turn_at = now
                if isinstance(message, TurnComplete) and not self.audible:
                    self._answered_with_silence(message.reason, now)
            case SpeechStarted() | SpeechEnded():
                self._noticed = self._tells = self.heard = True
                self._patience.speech(now)
            case _:
                self._session(message, now)
        finding = self._patience.feed(message, now)
        if self.audible and isinstance(message, ReplyAudio):
            self._repeating = self._first = False
            self.heard = True
        return self._urgent(finding, now)

    def _answered_before_a_pause(self, now: Seconds) -> None:
        """An answer comes before the end of the words was noticed here: they ended with the last sound."""
        since_s = self._voice.since_s
        if since_s is not None:
            self._patience.stopped(Seconds(now - since_s))
        elif self._speaks:
            self._patience.stopped(now)

    def _answered_with_silence(self, reason: TurnReason | None, now: Seconds) -> None:
        if reason is TurnReason.FAILED and not (self._tells or self.waiting):
            self._answered_before_a_pause(now)
        if reason is TurnReason.FAILED or self._works:
            return
        self._first = self.heard = False
        if not self._tells:
            self._answered_so_far(now)

    def _answered_so_far(self, now: Seconds) -> None:
        """The speech so far has its answer; speech from now on is new."""
        self._noticed = self._tells
        self._speaks = self._asked_twice = False
        self._turn_at = now
        self._voice.reset()

    def _session(self, message: LinkMessage, now: Seconds) -> None:
        match message:
            case ToolCall():
                self._tools.add(message.id)
                self._noticed = self.tool_ran = self.heard = True
            case ToolCallsCancelled():
                self._tools.difference_update(message.ids)
            case WaitingForInput():
                self._answered_so_far(now)
            case HeardText():
                self.heard = True
            case StatusReported():
                self._works = message.status is Interaction.IN_PROGRESS
            case HandleUpdated():
                self._resumable = message.handle is not None
            case GoAway():
                self._notice = Notice(now, message.time_left)

    def tool_done(self, call: str, now: Seconds) -> None:
        """A tool's result was sent, or was dropped."""
        self._tools.discard(call)
        self._patience.tool_done(call, now)

    # Time

    @property
    def audible(self) -> bool:
        """Whether there was something to hear in the turn of the model that is under way."""
        return self._patience.audible

    @property
    def waiting(self) -> bool:
        """Whether an answer is due."""
        return self._patience.waiting

    @property
    def speech_begins(self) -> bool:
        """Whether somebody speaks at the microphone, or may be about to."""
        return self._speaks or self._voice.begins

    @property
    def doubtful(self) -> bool:
        """Whether what has no answer may have been no speech at all: nobody but the microphone has heard it."""
        return not (self._first or self.heard)

    @property
    def busy(self) -> frozenset[Busy]:
        """The activity that a swap would break."""
        found = {
            Busy.PERSON: self.speech_begins,
            Busy.MODEL: self._answers or self._works or self._patience.waiting,
            Busy.TOOL: bool(self._tools),
            Busy.SESSION: not self._resumable,
        }
        return frozenset(busy for busy, is_so in found.items() if is_so)

    def check(self, traffic: Traffic | None, now: Seconds) -> Diagnosis | None:
        """Return what takes too long by now; what only wants another link some time is noted for `swap`."""
        stalled = None if traffic is None else self._patience.sent(traffic.written, traffic.queued, now)
        return self._urgent(stalled or self._patience.check(now), now)

    def _urgent(self, finding: Diagnosis | None, now: Seconds) -> Diagnosis | None:
        """Return a finding that is to be acted upon at once; note one that can wait for silence."""
        if finding and finding.remedy is Action.ROTATE and finding.kind is not Symptom.STALLED_UPLINK:
            self._wanted_since = self._wanted_since or now
            return None
        return finding

    def swap(self, now: Seconds) -> RotationDue:
        """Return whether to swap the link for another."""
        return due(now, RotationInputs(self._opened_at, self.busy, self._notice, self._wanted_since))
