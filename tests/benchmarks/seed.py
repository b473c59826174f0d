"""The way that first examples of the Live API play and record: a queue and `asyncio.to_thread` around blocking calls.

Measured beside ours in the same run. Run as a program, in a process that sees the virtual card: ``seed play`` plays
noise and empties its queue at every line on stdin, ``seed record SECONDS`` counts what it reads, and ``seed nothing
SECONDS`` does nothing in both directions, in periods like ours: what PortAudio and the card cost alone.
"""

import asyncio
import os
import sys
import time
from collections import deque

import numpy as np
import sounddevice

CHUNK = 960
"""Frames of a reply: 40 ms."""


async def play() -> None:
    """Print the moment of each emptying."""
    stream = sounddevice.RawOutputStream(samplerate=24_000, channels=1, dtype="int16", device="virtual_speaker")
    stream.start()
    queue: deque[bytes] = deque()
    noise = np.random.default_rng(1).integers(1_000, 20_000, CHUNK * 100).astype(np.int16)
    chunks = [noise[at : at + CHUNK].tobytes() for at in range(0, len(noise), CHUNK)]

    async def write() -> None:
        while True:
            if queue:
                await asyncio.to_thread(stream.write, queue.popleft())
            else:
                await asyncio.sleep(0.001)

    async def obey() -> None:
        while True:
            order = await asyncio.to_thread(sys.stdin.readline)
            if not order:
                return
            if order.strip() == "play":
                queue.extend(chunks)
            else:
                queue.clear()
            sys.stdout.write(f"{time.monotonic()}\n")
            sys.stdout.flush()

    writer = asyncio.create_task(write())
    await obey()
    writer.cancel()


async def record(seconds: float) -> None:
    """Print how many samples were lost."""
    stream = sounddevice.RawInputStream(samplerate=16_000, channels=1, dtype="int16", device="virtual_mic")
    stream.start()
    await asyncio.to_thread(stream.read, 320)
    begun_at, frames = time.monotonic(), 320  # up to a period is on its way when it ends
    while time.monotonic() - begun_at < seconds:
        await asyncio.to_thread(stream.read, 320)
        frames += 320
    sys.stdout.write(f"{max(0, round((time.monotonic() - begun_at) * 16_000) - frames)}\n")
    sys.stdout.flush()


def nothing(seconds: float) -> None:
    """Print the CPU time that it took, in seconds."""
    form = {"channels": 1, "dtype": "int16", "callback": lambda *_: None}
    microphone = sounddevice.RawInputStream(device="virtual_mic", samplerate=16_000, blocksize=0, latency=0.06, **form)
    speaker = sounddevice.RawOutputStream(
        device="virtual_speaker", samplerate=24_000, blocksize=240, latency=0.02, **form
    )
    microphone.start()
    speaker.start()
    time.sleep(1)
    before = time.process_time()
    time.sleep(seconds)
    sys.stdout.write(f"{time.process_time() - before}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    if sys.argv[1] == "nothing":
        nothing(float(sys.argv[2]))
    else:
        asyncio.run(play() if sys.argv[1] == "play" else record(float(sys.argv[2])))
    os._exit(0)  # sounddevice's atexit handler stops streams, which may hang
