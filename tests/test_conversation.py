"""The conversation's shell: order of effects, gates, deadlines, latencies; in virtual time, on recording parts."""

import asyncio
from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from appliance.conversation import Conversation, Moment, Parts
from appliance.core import effects as fx
from appliance.core import events as ev
from appliance.core.latency import Latency
from appliance.core.state import BargeIn, Gate, Mode, Policy, State
from appliance.live.ports import ToolResult
from appliance.units import Pcm, Seconds


@dataclass
class Recording:
    """Stands for every part at once and writes down what it is told."""

    told: list[tuple[object, ...]] = field(default_factory=list)
    sending: bool = False
    asked: bool = True

    def begin(self, at: int, mode: Mode) -> None:
        self.told.append(("begin", at, mode))

    def end(self, at: int) -> None:
        self.told.append(("end", at))

    def set_gate(self, gate: Gate) -> None:
        self.told.append(("gate", gate))

    def drop_unsent(self) -> None:
        self.told.append(("drop",))

    def reset(self) -> None:
        self.told.append(("reset",))

    def flush(self) -> None:
        self.told.append(("flush",))

    def finish(self, epoch: int) -> None:
        self.told.append(("finish", epoch))

    def play(self, sound: Pcm) -> None:
        self.told.append(("play", len(sound)))

    def await_more(self) -> None:
        self.told.append(("await more",))

    def open(self, effect: fx.OpenLink) -> None:
        self.told.append(("open", effect.link))

    def close(self, effect: fx.CloseLink) -> None:
        self.told.append(("close", effect.link))

    def duck(self) -> None:
        self.told.append(("duck",))

    def pause(self) -> None:
        self.told.append(("pause",))

    def resume(self) -> None:
        self.told.append(("resume",))

    def begin_speech(self, mode: Mode) -> None:
        self.told.append(("begins", mode))

    def end_speech(self) -> None:
        self.told.append(("ends",))

    def send_text(self, text: str) -> None:
        self.told.append(("say", text))

    def resend_turn(self) -> None:
        self.told.append(("repeat",))

    def resend_unconfirmed(self) -> None:
        self.told.append(("resend",))

    def discard(self) -> None:
        self.told.append(("discard",))

    def send_tool_result(self, result: ToolResult) -> None:
        self.told.append(("result", result.call))

    def enter(self, state: State, kind: ev.Trouble | ev.Fault | None = None) -> None:
        self.told.append(("light", state, kind))

    def start(self, calls: tuple[str, ...]) -> None:
        self.told.append(("start", calls))

    def refuse(self, calls: tuple[str, ...]) -> None:
        self.told.append(("refuse", calls))

    def cancel(self, calls: tuple[str, ...]) -> None:
        self.told.append(("cancel", calls))

    def take(self, call: str) -> ToolResult:
        return ToolResult(call, "name", {})

    def earcon(self, earcon: fx.Earcon) -> Pcm | None:
        return np.zeros(10, np.int16) if earcon is fx.Earcon.WAKE else None

    def phrase(self, trouble: ev.Trouble | ev.Fault) -> Pcm | None:
        return np.zeros(20, np.int16)

    def person_spoke(self) -> bool:
        return self.asked

    def recover(self) -> None:
        self.told.append(("recover",))

    def parts(self) -> Parts:
        return Parts(self, self, self, self, self, self, self.person_spoke, self.recover)


async def test_the_light_and_the_gate_follow_a_wake_word_at_once():
    record = Recording()
    conversation = Conversation(Policy(), record.parts())
    conversation.start()
    conversation.post(ev.Ready())
    record.told.clear()
    conversation.post(ev.WakeDetected(160), Seconds(asyncio.get_running_loop().time() - 0.1))
    assert record.told == [
        ("light", State.CONNECTING, None),
        ("reset",),
        ("open", 1),
        ("begin", 160, Mode.HANDS_FREE),
        ("begins", Mode.HANDS_FREE),
        ("play", 10),
        ("gate", Gate.HOLD),
    ]
    assert conversation.stopwatch.durations_ms(Latency.WAKE_TO_LIGHT) == pytest.approx((100,), abs=1)


async def test_an_interruption_empties_playback_before_it_does_anything_else():
    record = Recording()
    conversation = Conversation(Policy(), record.parts())
    for event in (ev.Ready(), ev.WakeDetected(0), ev.LinkOpened(1), ev.ReplyStarted(1, 4)):
        conversation.post(event)
    record.told.clear()
    conversation.post(ev.ServerInterrupted(1))
    assert record.told[0] == ("flush",)
    assert record.told[1] == ("light", State.INTERRUPTED, None)
    conversation.silent(Seconds(asyncio.get_running_loop().time() + 0.02))
    assert conversation.stopwatch.durations_ms(Latency.INTERRUPT_TO_SILENCE) == pytest.approx((20,), abs=1)


async def over_a_reply() -> tuple[Conversation, Recording]:
    record = Recording()
    conversation = Conversation(Policy(barge_in=BargeIn.VOICE), record.parts())
    for event in (ev.Ready(), ev.EchoReported(cancelled=True), ev.WakeDetected(0), ev.LinkOpened(1)):
        conversation.post(event)
    conversation.post(ev.ReplyStarted(1, 4))
    record.told.clear()
    return conversation, record


async def test_a_voice_over_a_reply_is_measured_to_the_duck_and_to_the_pause():
    conversation, record = await over_a_reply()
    now = asyncio.get_running_loop().time()
    conversation.post(ev.VoiceSuspected(), Seconds(now - 0.1))
    assert record.told == [("duck",)]
    conversation.post(ev.VoiceConfirmed())
    conversation.silent(Seconds(now + 0.05))
    assert conversation.stopwatch.durations_ms(Latency.VOICE_TO_DUCK) == pytest.approx((100,), abs=1)
    assert conversation.stopwatch.durations_ms(Latency.VOICE_TO_PAUSE) == pytest.approx((150,), abs=1)
    assert record.told == [("duck",), ("pause",)]


async def test_what_ends_a_duck_is_no_pause():
    conversation, _ = await over_a_reply()
    conversation.post(ev.VoiceSuspected())
    conversation.post(ev.WakeDetected(5))
    conversation.silent(Seconds(asyncio.get_running_loop().time()))
    assert conversation.stopwatch.durations_ms(Latency.VOICE_TO_PAUSE) == ()


async def test_a_pause_that_nobody_confirms_ends_by_itself():
    conversation, record = await over_a_reply()
    conversation.post(ev.VoiceSuspected())
    conversation.post(ev.VoiceConfirmed())
    conversation.post(ev.VoiceCeased())
    await asyncio.sleep(Policy().pause_s - 0.01)
    assert record.told == [("duck",), ("pause",)]
    await asyncio.sleep(0.02)
    assert record.told == [("duck",), ("pause",), ("resume",)]
    conversation.post(ev.VoiceSuspected())
    await asyncio.sleep(Policy().duck_s + 0.01)
    assert record.told[3:] == [("duck",), ("resume",)]


async def test_deadlines_lead_from_silence_to_rest():
    record = Recording()
    moments: list[Moment] = []
    conversation = Conversation(Policy(), record.parts(), moments.append)
    conversation.start()
    for event in (ev.Ready(), ev.WakeDetected(0), ev.LinkOpened(1)):
        conversation.post(event)
    began = asyncio.get_running_loop().time()
    while conversation.context.state is not State.IDLE:
        await asyncio.sleep(0.5)
    assert asyncio.get_running_loop().time() - began == pytest.approx(Policy().first_speech_s, abs=0.6)
    assert ("close", 1) in record.told
    assert moments[-1].after.state is State.IDLE


async def test_only_the_newest_deadline_counts():
    conversation = Conversation(Policy(), Recording().parts())
    for event in (ev.Ready(), ev.WakeDetected(0), ev.LinkOpened(1)):
        conversation.post(event)
    await asyncio.sleep(6)
    conversation.post(ev.UserSpeech(1))
    await asyncio.sleep(6)
    assert conversation.context.state is State.LISTENING
    conversation.post(ev.StopRequested())
    await conversation.stopped()


async def test_an_event_posted_by_an_effect_is_taken_after_the_effects_of_the_first():
    class Hasty(Recording):
        def open(self, effect: fx.OpenLink) -> None:
            super().open(effect)
            conversations[0].post(ev.LinkFailed(effect.link, ev.Trouble.NETWORK))

    conversations: list[Conversation] = []

    record = Hasty()
    conversations.append(Conversation(Policy(), record.parts()))
    conversations[0].post(ev.Ready())
    conversations[0].post(ev.WakeDetected(0))
    lights = [told for told in record.told if told[0] == "light"]
    assert lights[-2:] == [("light", State.CONNECTING, None), ("light", State.TROUBLE, ev.Trouble.NETWORK)]
    hold, closed = (record.told.index(("gate", gate)) for gate in (Gate.HOLD, Gate.CLOSED))
    assert record.told.index(("open", 1)) < hold
    assert closed < hold, "the gate closed at the start, opened for the wake word, and closes again"
    assert record.told[-1] == ("gate", Gate.CLOSED)
    conversations[0].post(ev.StopRequested())


async def test_a_fault_shows_its_kind_and_is_recovered_from_time_to_time():
    record = Recording()
    conversation = Conversation(Policy(), record.parts())
    conversation.post(ev.FaultRaised(ev.Fault.MICROPHONE))
    assert ("light", State.FAULT, ev.Fault.MICROPHONE) in record.told
    await asyncio.sleep(25)
    assert record.told.count(("recover",)) == 2
    conversation.post(ev.FaultRaised(ev.Fault.BUTTON))
    assert record.told[-1] == ("light", State.FAULT, ev.Fault.MICROPHONE), "the worse one shows"
    conversation.post(ev.StopRequested())


async def test_what_is_said_by_button_or_in_writing_is_told_to_the_link_and_repeated_when_that_is_due():
    record = Recording()
    conversation = Conversation(Policy(), record.parts())
    for event in (
        ev.Ready(),
        ev.ButtonPressed(0),
        ev.LinkOpened(1),
        ev.ButtonReleased(ev.Press.HOLD, 9),
        ev.TextEntered("hello"),
        ev.LinkLost(1, resumable=True, trouble=ev.Trouble.LOST),
        ev.LinkOpened(2),
    ):
        conversation.post(event)
    told = [told for told in record.told if told[0] in {"begins", "ends", "say", "repeat", "end"}]
    assert told == [("begins", Mode.PUSH_TO_TALK), ("end", 9), ("ends",), ("say", "hello"), ("repeat",)]
    conversation.post(ev.ReplyStarted(2, 1))
    await asyncio.sleep(0.5)
    conversation.audible(Seconds(asyncio.get_running_loop().time()))
    assert conversation.stopwatch.durations_ms(Latency.SPEECH_TO_ANSWER) == pytest.approx((500,), abs=1)
    conversation.post(ev.StopRequested())


async def test_tool_results_are_taken_and_sent():
    record = Recording()
    conversation = Conversation(Policy(), record.parts())
    for event in (ev.Ready(), ev.WakeDetected(0), ev.LinkOpened(1), ev.ToolsCalled(1, ("a",)), ev.ToolDone("a")):
        conversation.post(event)
    assert ("start", ("a",)) in record.told
    assert record.told[-1] == ("result", "a")
    conversation.post(ev.StopRequested())


@pytest.mark.parametrize("asked", [True, False])
async def test_an_answer_that_nobody_asked_for_ends_the_conversation(asked: bool):
    record = Recording(asked=asked)
    conversation = Conversation(replace(Policy(), trusted_answers=1), record.parts())
    conversation.start()
    for event in (ev.Ready(), ev.WakeDetected(0), ev.LinkOpened(1), ev.UserSilent(1), ev.ReplyStarted(1, 1)):
        conversation.post(event)
    conversation.post(ev.ReplyEnded(1, 1))
    conversation.post(ev.PlaybackDrained(1))
    conversation.post(ev.ReplyStarted(1, 2))
    assert conversation.context.state is (State.SPEAKING if asked else State.IDLE)
    conversation.post(ev.StopRequested())
