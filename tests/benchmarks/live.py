"""``scripts/bench live``: the Live session layer over the real SDK, TLS and sockets, against services on loopback.

What is said of the processor and of memory is measured in a process of its own, with the other end in another one.
"""

import logging
import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import numpy as np

from tests.benchmarks.figures import Figure, compared
from tests.benchmarks.live_cost import SESSIONS, TALK_S, connecting, growing, talking
from tests.benchmarks.live_far_end import FarEnd, far_end, simulator
from tests.benchmarks.live_speech import DROPS, SWAPS, Fate, Way, speech
from tests.benchmarks.live_waits import ANSWERS, dead_address_ms, first_chunk_ms, silence_ms, stall_ms
from tests.benchmarks.live_wire import is_possible

Say = Callable[[str], None]
T = TypeVar("T")


def measure(say: Say) -> list[Figure]:
    """Measure everything; takes about five minutes."""
    with _quiet():
        return [*_costs(say), *_waits(say), *_speech(say)]


def _costs(say: Say) -> list[Figure]:
    say("connecting, next to a bare handshake")
    with simulator() as service:
        connect = _alone(connecting, service)
    say(f"{TALK_S:.0f} s of talk in both directions, then the same with a bare client")
    with far_end("talk") as service:
        talk = _alone(talking, service)
    say(f"{SESSIONS} sessions")
    with far_end("sessions") as service:
        grown = _alone(growing, service)
    over = connect.ours - connect.bare
    left = f"{grown.sessions} sessions, {grown.messages} messages; {grown.files} files left open"
    return [
        Figure(
            "connect_cpu_ms", over, "ms", "<= 15", f"bare handshake {connect.bare:.3g}", connect.ours / connect.bare
        ),
        compared("talking_cpu_percent", talk.ours, "%", "<= 2", ("bare websocket client", talk.bare)),
        compared("talking_over_sdk_percent", talk.ours - talk.sdk, "%", None, ("Google's SDK by itself", talk.sdk)),
        Figure("rss_growth_mb", grown.rss_mb, "MB", "<= 2", left),
    ]


def _waits(say: Say) -> list[Figure]:
    say("a first address that is dead")
    with simulator() as service:
        dead_ms, gives_up_ms = dead_address_ms(service)
    say("services that stop reading, and services that say nothing")
    stalls, silences = stall_ms(), silence_ms()
    say(f"the first sound of {ANSWERS} answers")
    with far_end("answers") as service:
        firsts = first_chunk_ms(service)
    given_up = ("asyncio's own loop: no link after", gives_up_ms)
    return [
        compared("dead_first_address_extra_ms", dead_ms, "ms", "<= 500", given_up),
        Figure("stall_noticed_ms", max(stalls), "ms", "<= 2000", f"the quickest {min(stalls):.0f}"),
        Figure("silent_service_noticed_ms", max(silences), "ms", "<= 8000", f"the quickest {min(silences):.0f}"),
        Figure(
            "first_chunk_to_speaker_ms",
            float(np.percentile(firsts, 95)),
            "ms",
            "<= 60",
            f"median {np.median(firsts):.0f}",
        ),
    ]


def _speech(say: Say) -> list[Figure]:
    way = Way.LONG if is_possible() else Way.DIRECT
    say(f"{len(SWAPS)} conversations while the service announces its end, {1000 * way.value:.0f} ms away")
    swap, swap_direct = speech(SWAPS, way), speech(SWAPS, Way.DIRECT)
    say(f"{len(DROPS)} conversations whose connection breaks, {1000 * way.value:.0f} ms away")
    drop, drop_direct = speech(DROPS, way), speech(DROPS, Way.DIRECT)
    say(f"{(swap + drop + swap_direct + drop_direct).owed} samples compared")
    return [*_fates("swap", swap, swap_direct), *_fates("drop", drop, drop_direct)]


def _fates(name: str, fate: Fate, direct: Fate) -> list[Figure]:
    at_once = "on a line without delay"
    return [
        compared(f"speech_samples_lost_on_{name}", fate.lost, "", "= 0", (at_once, direct.lost)),
        compared(f"speech_samples_doubled_on_{name}", fate.doubled, "", "= 0", (at_once, direct.doubled)),
    ]


def _alone(function: Callable[[str, Path], T], service: FarEnd) -> T:
    """Call it in a new process."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
        return process.submit(function, service.base_url, service.ca_file).result()


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep what the daemon reports of faults, all of them wanted, from between the lines."""
    logger = logging.getLogger("appliance")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(before)
