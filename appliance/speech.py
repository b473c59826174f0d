"""Whether the person speaks, while a conversation is on. Loop thread only."""

import asyncio
from collections.abc import Callable
from typing import Final

from appliance.audio.capture.uplink import Uplink
from appliance.audio.ports import Block
from appliance.conversation import Conversation
from appliance.core.events import OverlapEnded
from appliance.core.state import NOT_SENDING, Overlap, State, voice_interrupts
from appliance.live.session.double_talk import DoubleTalkDetector
from appliance.live.session.manager import SessionManager
from appliance.units import SampleIndex, Seconds
from appliance.voice.barge_in import SUSPECTED_WINDOWS, BargeInDetector
from appliance.voice.ports import WINDOW, WINDOW_S, SpeechProbability, VoiceDetector

_PERSON_MAY_SPEAK: Final = frozenset(
    {State.CONNECTING, State.LISTENING, State.THINKING, State.INTERRUPTED, State.RECONNECTING}
)
"""States in which speech at the microphone is the person's, not the echo of a reply."""


class SpeechMonitor:
    """Feeds the voice detector, and passes on what it finds; between conversations the detector rests.

    A window takes a fraction of a millisecond, too little to be worth a thread.
    """

    def __init__(
        self,
        conversation: Conversation,
        session: SessionManager,
        uplink: Uplink,
        double_talk: DoubleTalkDetector,
        captured_at: Callable[[SampleIndex], Seconds | None],
        on_voice: Callable[[list[SpeechProbability]], None],
    ) -> None:
        """``captured_at`` returns when a sample of the microphone was captured, if it is known."""
        self._conversation = conversation
        self._session = session
        self._uplink = uplink
        self._double_talk = double_talk
        self._captured_at = captured_at
        self._on_voice = on_voice
        self._barge_in = BargeInDetector()
        self._detector: VoiceDetector | None = None

    async def load(self, load: Callable[[], VoiceDetector], *, in_thread: bool) -> None:
        """Load the detector, which may take a second; until then nobody is heard to speak."""
        self._detector = await asyncio.to_thread(load) if in_thread else load()

    def feed(self, block: Block) -> None:
        """Take the next block of the microphone."""
        if self._detector is None or self._conversation.context.state in NOT_SENDING:
            return
        heard = self._detector.feed(block.start, block.samples)
        if heard:
            self._on_voice(heard)
        for window in heard:
            self._hear_over_reply(window)
            self._hear(window.probability)

    def _hear_over_reply(self, window: SpeechProbability) -> None:
        context = self._conversation.context
        if not voice_interrupts(context) or context.overlap is Overlap.POSSIBLE:
            self._barge_in.reset()
            return
        strict = context.false_pauses >= context.policy.false_pauses
        found = self._barge_in.feed(window.probability, strict=strict)
        if found is not None:
            began = SampleIndex(window.end_sample - SUSPECTED_WINDOWS * WINDOW)
            self._conversation.post(found, self._captured_at(began))

    def _hear(self, probability: float) -> None:
        context = self._conversation.context
        may_speak = context.state in _PERSON_MAY_SPEAK
        if not may_speak and context.overlap is Overlap.NONE:
            return
        self._double_talk.feed(probability, WINDOW_S)
        if may_speak and not self._uplink.may_echo:
            self._session.listen(probability, WINDOW_S)
        elif context.overlap is Overlap.SPEECH and self._double_talk.over:
            self._conversation.post(OverlapEnded())
