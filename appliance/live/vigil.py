"""What goes on over a link, as far as it decides when to worry and when a swap is harmless. Pure; times are monotonic.

It joins the watchdogs (`patience`), the moment for a swap (`rotation`) and the microphone's own word for speech
(`voice`), and knows what a repetition is.
"""

from typing import Final

from appliance.core.state import Mode
from appliance.live.patience import Finding, Kind, Limits, Patience, Remedy
from appliance.live.ports import (
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
    Traffic,
    TurnComplete,
)
from appliance.live.rotation import Busy, Due, Facts, Notice, due
from appliance.live.voice import Voice
from appliance.units import Dbfs, Seconds

OVERDUE_S: Final = 4.0
"""A service that tells when speech begins is given so long to tell of its end, once it is quiet at the microphone."""
_LIMITS: Final = Limits()


class Vigil:
    """Keeps watch over one conversation, from link to link. Feed it with what happens; ask it a few times a second."""

    def __init__(self, limits: Limits = _LIMITS) -> None:
        self._limits = limits
        self._voice = Voice()
        self.conversation()

    def conversation(self) -> None:
        """Another conversation begins."""
        self._patience = Patience(self._limits)
        self._voice.reset()
        self._tools: set[str] = set()
        self._speaks = False
        self._repeating = False
        self._noticed = False
        """The service has heard something, or is not expected to."""
        self.acted = False
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
            self.acted = False

    def person_begins(self, now: Seconds) -> None:
        """The person speaks."""
        self._speaks = self._noticed = True
        self.turn_begins(now)

    def person_stops(self, now: Seconds) -> None:
        """The person has said what there was to say: from now on an answer is due."""
        self._speaks, self._noticed = False, True
        self._patience.stopped(now)

    def repeated(self, sent_at: Seconds) -> None:
        """What the person said is being sent once more, to its end at ``sent_at``."""
        self._repeating = self._noticed = True
        self._patience.stopped(sent_at)

    def heard_here(self, level: Dbfs, duration: Seconds) -> None:
        """Take the level of the next stretch of microphone audio."""
        self._voice.feed(level, duration)

    def speaks_unnoticed(self, mode: Mode) -> bool:
        """Return whether the person says first words of which the service gives no sign yet; it may at their end."""
        return mode is Mode.HANDS_FREE and not self._noticed and self._voice.speaks

    def unnoticed_s(self, mode: Mode) -> float | None:
        """Return how long ago the person has stopped speaking where the service should have told and does not.

        It may not have heard the first words after the wake word; later ones need not be meant for it, and so count
        only where it has. Not every model tells of the end, and one that falls silent does not either.
        """
        stopped_s = self._voice.stopped_s
        if mode is not Mode.HANDS_FREE or stopped_s is None:
            return None
        if not self._noticed:
            return 0.0  # it may be sent only now
        told = stopped_s >= OVERDUE_S if self._tells else True
        return stopped_s if self._speaks and told else None

    def old(self, message: LinkMessage) -> bool:
        """Return whether what the service hears was said before: transcripts come late, and repetitions are none."""
        repeats = isinstance(message, HeardText) or (self._repeating and isinstance(message, SpeechStarted))
        return repeats and self.waiting and self._voice.stopped_s is not None

    # The service

    def feed(self, message: LinkMessage, now: Seconds) -> Finding | None:
        """Take one message; return what is to be done about it at once."""
        match message:
            case ReplyAudio():
                if self._speaks and not self._tells:
                    self._patience.stopped(now)
                self._answers = self._noticed = True
                self._speaks = False
                self._voice.reset()
            case Thinking():
                self._answers = True
            case TurnComplete():
                self._answers = False
                self._speaks = self._speaks and self._tells
            case GenerationComplete() | Interrupted():
                self._answers = False
            case SpeechStarted() | SpeechEnded():
                self._noticed = self._tells = True
                self._patience.speech(now)
            case _:
                self._session(message, now)
        finding = self._patience.feed(message, now)
        self._repeating = self._repeating and not self.audible
        return self._urgent(finding, now)

    def _session(self, message: LinkMessage, now: Seconds) -> None:
        match message:
            case ToolCall():
                self._tools.add(message.id)
                self._noticed = self.acted = True
            case ToolCallsCancelled():
                self._tools.difference_update(message.ids)
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
    def busy(self) -> frozenset[Busy]:
        """What a swap would break."""
        found = {
            Busy.PERSON: self._speaks,
            Busy.MODEL: self._answers or self._works or self._patience.waiting,
            Busy.TOOL: bool(self._tools),
            Busy.SESSION: not self._resumable,
        }
        return frozenset(busy for busy, is_so in found.items() if is_so)

    def check(self, traffic: Traffic | None, now: Seconds) -> Finding | None:
        """Return what takes too long by now; what only wants another link some time is noted for `swap`."""
        stalled = None if traffic is None else self._patience.sent(traffic.written, traffic.queued, now)
        return self._urgent(stalled or self._patience.check(now), now)

    def _urgent(self, finding: Finding | None, now: Seconds) -> Finding | None:
        """Return a finding that is to be acted upon at once; note one that can wait for silence."""
        if finding and finding.remedy is Remedy.ROTATE and finding.kind is not Kind.STALLED_UPLINK:
            self._wanted_since = self._wanted_since or now
            return None
        return finding

    def swap(self, now: Seconds) -> Due:
        """Return whether to swap the link for another."""
        return due(now, Facts(self._opened_at, self.busy, self._notice, self._wanted_since))
