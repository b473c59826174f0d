"""Whatever gates, presses, links and delays do, the links together hear the spans: all of them, once, in order."""

import asyncio
import re
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.audio.capture.spans import UplinkCounts
from appliance.core.state import Gate, Mode
from appliance.units import SampleIndex
from tests.support.uplink import END, PUSH_TO_TALK, START, STREAM_END, RecordingLink, Room, running, stream

INDEX_OF = {sample: index for index, sample in enumerate(stream(0, 65_536).tolist())}


@dataclass(frozen=True)
class Say:
    samples: int


@dataclass(frozen=True)
class Wait:
    seconds: float


@dataclass(frozen=True)
class Begin:
    offset: int


@dataclass(frozen=True)
class End:
    offset: int


@dataclass(frozen=True)
class Attach:
    lasts: int | None
    delay_s: float


@dataclass(frozen=True)
class Detach:
    pass


Action = Say | Wait | Begin | End | Attach | Detach | Gate

SAY = st.builds(Say, st.integers(1, 2000))
BEGIN = st.builds(Begin, st.integers(-3000, 500))
ATTACH = st.builds(Attach, st.none() | st.integers(0, 12), st.sampled_from([0.0, 0.01, 0.06, 0.4]))
TURN = st.tuples(BEGIN, st.just(Gate.OPEN), SAY)
MOMENTS = st.one_of(
    TURN,
    st.tuples(SAY, SAY),
    st.tuples(ATTACH, SAY),
    st.tuples(st.builds(End, st.integers(-3000, 3000)), st.none() | SAY),
    st.tuples(st.sampled_from(Gate), st.none() | SAY),
    st.tuples(st.just(Detach()), SAY),
    st.tuples(st.builds(Wait, st.sampled_from([0.0, 0.01, 0.05, 0.3, 1.2]))),
)
STORIES = st.lists(MOMENTS, min_size=6, max_size=40).map(
    lambda moments: [action for moment in moments for action in moment if action is not None]
)
"""Each begins anywhere: with a link or without, in a turn or between two."""


@dataclass
class Story:
    """Drives a room, and works out from the actions alone which spans there must be."""

    room: Room
    mode: Mode
    links: list[RecordingLink] = field(default_factory=list)
    spans: list[tuple[int, int]] = field(default_factory=list)
    opened: int | None = None
    begun: bool = False

    async def act(self, action: Action) -> None:
        match action:
            case Say(samples):
                self.room.capture(samples)
                await asyncio.sleep(samples / 16_000)
            case Wait(seconds):
                await asyncio.sleep(seconds)
            case Attach(lasts, delay_s):
                self.links.append(RecordingLink(lasts, delay_s))
                self.room.uplink.attach(self.links[-1])
            case Detach():
                self.room.uplink.detach()
            case _:
                self._decide(action, self.room.ring.end)

    def _decide(self, action: Begin | End | Gate, now: int) -> None:
        match action:
            case Begin(offset):
                self.begun = True
                self.room.uplink.begin(SampleIndex(max(0, now + offset)), self.mode)
                self._open(max(0, now + offset))
            case End(offset):
                self.room.uplink.end(SampleIndex(max(0, now + offset)))
                self._close(max(0, now + offset))
            case Gate():
                self.room.uplink.set_gate(action)
                if action is Gate.CLOSED:
                    self._close(now)
                elif self.begun and self.mode is not PUSH_TO_TALK:
                    self._open(now)

    def _open(self, at: int) -> None:
        if self.opened is None:
            self.opened = max(at, self.spans[-1][1] if self.spans else 0)

    def _close(self, at: int) -> None:
        """The span ends at ``at``, or after it where that was sent already: then at a sample that was captured."""
        if self.opened is None:
            return
        start, self.opened = self.opened, None
        reported = self.room.uplink.counts.spans
        if len(reported) == len(self.spans):
            assert at <= start, "a span that is not empty is reported"
            return
        stop = reported[-1][1]
        assert stop == max(at, start) or at < stop <= self.room.ring.end
        self.spans.append((start, stop))
        assert list(reported) == self.spans

    async def finish(self) -> None:
        """A good link comes, the person stops, and everything has been sent."""
        await self.act(Attach(None, 0.0))
        await self.act(Gate.CLOSED)
        self.room.capture(4_000)
        await self.room.uplink.drained()


async def tell(actions: list[Action], mode: Mode, capacity_s: float) -> tuple[list[RecordingLink], UplinkCounts]:
    async with running(capacity_s) as room:
        story = Story(room, mode)
        for action in actions:
            await story.act(action)
        await story.finish()
    assert list(room.uplink.counts.spans) == story.spans
    return story.links, room.uplink.counts


def heard(links: list[RecordingLink]) -> list[int]:
    """The indices of all samples that links took, in the order in which they did."""
    chunks = sorted((chunk for link in links for chunk in link.chunks), key=lambda chunk: chunk[0])
    return [INDEX_OF[sample] for _, chunk in chunks for sample in chunk.tolist()]


def letters(link: RecordingLink) -> str:
    names = {START: "S", END: "E", STREAM_END: "P"}
    return "".join(names[what] if isinstance(what, str) else "A" for _, what in link.history)


def assert_that_activities_are_turns(link: RecordingLink, spans: tuple[tuple[SampleIndex, SampleIndex], ...]) -> None:
    """Each activity holds samples of one span, and where it was ended, they reach to the end of the span."""
    inside: list[int] = []
    for _, what in link.history:
        if not isinstance(what, str):
            inside.extend(INDEX_OF[sample] for sample in what.tolist())
        elif what == START:
            inside = []
        elif inside:
            assert any(start <= inside[0] and inside[-1] == stop - 1 for start, stop in spans)
    if inside:
        assert any(start <= inside[0] and inside[-1] < stop for start, stop in spans)


@pytest.mark.parametrize("mode", list(Mode))
@given(actions=STORIES)
@settings(deadline=None, max_examples=60)
async def test_links_hear_every_span_once_and_in_order(mode: Mode, actions: list[Action]):
    links, counts = await tell(actions, mode, capacity_s=30.0)
    assert heard(links) == [index for start, stop in counts.spans for index in range(start, stop)]
    assert counts.sent == counts.captured
    assert counts.dropped == 0
    for link in links:
        assert all(len(chunk) <= 1600 for _, chunk in link.chunks)
        assert re.fullmatch(r"(SA*E)*(SA*)?" if mode is PUSH_TO_TALK else r"(A+P)*A*", letters(link))
        if mode is PUSH_TO_TALK:
            assert_that_activities_are_turns(link, counts.spans)


@pytest.mark.parametrize("mode", list(Mode))
@given(actions=STORIES)
@settings(deadline=None, max_examples=40)
async def test_a_ring_that_is_too_short_loses_only_what_is_counted(mode: Mode, actions: list[Action]):
    links, counts = await tell(actions, mode, capacity_s=0.15)
    indices = heard(links)
    assert indices == sorted(set(indices))
    assert set(indices) <= {index for start, stop in counts.spans for index in range(start, stop)}
    assert len(indices) == counts.sent == counts.captured - counts.dropped
