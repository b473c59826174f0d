"""When the service hears the person begin and stop, as far as it tells. Pure."""

from enum import Enum

from appliance.core.events import UserSilent, UserSpeech
from appliance.core.state import Mode
from appliance.live.messages import HeardText, Interrupted, LinkMessage, SpeechEnded, SpeechStarted, TurnComplete


class _Person(Enum):
    """How far the person's turn has come, for the service."""

    QUIET = "quiet"
    SPEAKING = "speaking"
    DONE = "done"
    """What is still transcribed of the turn is old."""


class TurnDetection:
    """Turns the messages of one link into one `UserSpeech` each time that the person begins to speak, or interrupts.

    Not every model sends voice activity, so that a transcript counts too, unless the turn that it belongs to is over:
    transcripts run late. In push-to-talk mode the button knows better.
    """

    def __init__(self, link: int, mode: Mode) -> None:
        self._link = link
        self._mode = mode
        self._person = _Person.QUIET

    def answered(self) -> None:
        """The model has begun to speak: the person's turn is over."""
        self._person = _Person.DONE

    def stopped(self) -> None:
        """The person has stopped, as is known here: should they go on, that is news."""
        self._person = _Person.QUIET

    def feed(self, message: LinkMessage) -> UserSpeech | UserSilent | None:
        """Return what ``message`` says about the person, if it is news."""
        match message:
            case SpeechStarted() if self._person is not _Person.SPEAKING:
                return self._speaks()
            case HeardText() if self._person is _Person.QUIET:
                return self._speaks()
            case SpeechEnded() if self._person is not _Person.DONE:
                self._person = _Person.DONE
                return UserSilent(self._link) if self._mode is Mode.HANDS_FREE else None
            case Interrupted() if self._person is _Person.SPEAKING:
                return self._speaks()  # that they began was told while the model spoke, when it meant nothing yet
            case Interrupted() | TurnComplete():
                self._person = _Person.QUIET
        return None

    def _speaks(self) -> UserSpeech | None:
        self._person = _Person.SPEAKING
        return UserSpeech(self._link) if self._mode is Mode.HANDS_FREE else None
