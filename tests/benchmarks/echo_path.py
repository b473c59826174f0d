"""The echo path alone in a simulated room, without the daemon: nothing reacts to what is heard."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from appliance.audio.ports import Block
from appliance.simulator.room.acoustics import BLOCK
from appliance.simulator.room.devices import LATENCY_S, EchoRemover
from appliance.simulator.room.room import Room
from appliance.units import REPLY, UPLINK, Pcm, SampleIndex, Seconds

_TICK_S: Final = UPLINK.duration(BLOCK)
_PERIOD: Final = REPLY.frames(_TICK_S)


@dataclass(frozen=True, slots=True, eq=False)
class Passed:
    """The streams, mono samples at 16 kHz, aligned, and the processor time that they took."""

    captured: Pcm
    linear: Pcm
    clean: Pcm
    cpu_ms_per_10ms: float

    def erle_db(self, begin_s: float, end_s: float) -> float:
        """Return the echo return loss enhancement of the linear part between two times."""
        piece = slice(UPLINK.frames(begin_s), UPLINK.frames(end_s))
        before, after = (np.mean(samples[piece].astype(np.float64) ** 2) for samples in (self.captured, self.linear))
        return float(10 * np.log10((before + 1) / (after + 1)))


def pass_through(
    room: Room, path: EchoRemover, played: Pcm, at: Mapping[float, Callable[[Room], object]] | None = None
) -> Passed:
    """Play samples, 24 kHz, in a room from its beginning; ``at`` holds what happens in it, by time."""
    count = len(played) // _PERIOD
    happenings = sorted((at or {}).items(), key=lambda item: item[0])
    captured = np.zeros(count * BLOCK, np.int16)
    clean, linear = captured.copy(), captured.copy()
    cpu_s = 0.0
    speaker = _periods(played, room.options.ppm)
    following = next(speaker, None)
    for number in range(count):
        begin = Seconds(number * _TICK_S)
        while happenings and happenings[0][0] <= begin:
            happenings.pop(0)[1](room)
        periods = []
        while following is not None and following[1] <= begin + _TICK_S:
            periods.append((following[0], Seconds(following[1] + LATENCY_S)))
            following = next(speaker, None)
        for period in periods:
            room.played(*period)
        samples = room.capture(begin)
        captured[number * BLOCK : (number + 1) * BLOCK] = samples
        block = Block(SampleIndex(number * BLOCK), samples, Seconds(begin + _TICK_S))
        since = time.process_time()
        for period in periods:
            path.played(*period)
        ready = path.captured(block)
        cpu_s += time.process_time() - since
        _keep(ready, clean, linear)
    return Passed(captured, linear, clean, cpu_s / count * 1000)


def _periods(played: Pcm, ppm: float) -> Iterator[tuple[Pcm, float]]:
    """Yield periods of what is played, and when the card takes them."""
    for number, start in enumerate(range(0, len(played) - _PERIOD + 1, _PERIOD)):
        yield played[start : start + _PERIOD], number * _TICK_S / (1 + ppm * 1e-6)


def _keep(ready: Sequence[Block], clean: Pcm, linear: Pcm) -> None:
    for block in ready:
        piece = slice(block.start, block.start + len(block.samples))
        clean[piece] = block.samples
        linear[piece] = block.samples if block.linear is None else block.linear
