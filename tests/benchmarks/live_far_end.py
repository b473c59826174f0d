"""The other end as a program of its own, so that its work is not taken for ours: TLS on loopback, one script each.

``python -m tests.benchmarks.live_far_end SCRIPT`` prints its address as JSON, then what the script has to tell, line by
line; it ends with its standard input.
"""

import asyncio
import base64
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
from websockets.asyncio.server import ServerConnection

from appliance.units import REPLY
from tests.support.live_service import Script, live_service, say, set_up, turn

CHUNK_MS: Final = 40
SESSION_MESSAGES: Final = 100
"""Messages of script ``sessions``, after the set-up."""
REPLY_S: Final = 0.4
"""Length of a reply of script ``answers``."""


@dataclass(frozen=True, slots=True)
class FarEnd:
    """A far end that runs."""

    base_url: str
    ca_file: Path
    told: IO[str]
    """Its standard output."""


@contextmanager
def far_end(script: str) -> Iterator[FarEnd]:
    """Run one."""
    command = [sys.executable, "-m", "tests.benchmarks.live_far_end", script]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as program:
        if program.stdin is None or program.stdout is None:
            raise AssertionError
        ready = json.loads(program.stdout.readline())
        yield FarEnd(ready["base_url"], Path(ready["ca_file"]), program.stdout)
        program.stdin.close()


@contextmanager
def simulator() -> Iterator[FarEnd]:
    """Run the simulator as the program that it is."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "appliance.simulator", "--directory", folder]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as program:
            if program.stdout is None:
                raise AssertionError
            ready = json.loads(program.stdout.readline())
            yield FarEnd(ready["base_url"], Path(ready["ca_file"]), program.stdout)
            program.terminate()


def chunks(seconds: float) -> list[str]:
    """Return noise, 24 kHz, cut into messages' parts as base64."""
    noise = np.random.default_rng(4).integers(-9000, 9000, REPLY.frames(seconds)).astype("<i2")
    size = REPLY.frames(CHUNK_MS / 1000)
    return [base64.b64encode(noise[at : at + size].tobytes()).decode() for at in range(0, len(noise), size)]


async def talk(connection: ServerConnection) -> None:
    """Speak without an end, in real time, and take what comes."""
    await set_up(connection)
    speech = chunks(2.0)
    begun, number = time.monotonic(), 0

    async def speak() -> None:
        nonlocal number
        while True:
            await asyncio.sleep(begun + number * CHUNK_MS / 1000 - time.monotonic())
            await say(connection, turn(speech[number % len(speech)]))
            if number % 12 == 0:
                await say(connection, {"serverContent": {"outputTranscription": {"text": " some words"}}})
            number += 1

    async with asyncio.TaskGroup() as group:
        speaking = group.create_task(speak())
        with suppress(Exception):
            async for _ in connection:
                pass
        speaking.cancel()


async def sessions(connection: ServerConnection) -> None:
    """Answer with `SESSION_MESSAGES` messages of every kind, as fast as they are taken."""
    await set_up(connection)
    speech = chunks(SESSION_MESSAGES * CHUNK_MS / 1000)
    details = [{"modality": "AUDIO", "tokenCount": 50}]
    usage = {"totalTokenCount": 100, "promptTokensDetails": details, "responseTokensDetails": details}
    asides: list[dict[str, Any]] = [
        {"serverContent": {"inputTranscription": {"text": " what is it"}}},
        {"serverContent": {"outputTranscription": {"text": " some words"}}},
        {"voiceActivity": {"type": "ACTIVITY_START", "audioOffset": "1.5s"}},
        {"sessionResumptionUpdate": {"newHandle": "h" * 60, "resumable": True}},
        {"usageMetadata": usage},
    ]
    for number in range(SESSION_MESSAGES - 2):
        await say(connection, asides[number // 4 % 5] if number % 4 == 3 else turn(speech[number]))
    await say(connection, {"serverContent": {"generationComplete": True}}, {"serverContent": {"turnComplete": True}})
    await connection.wait_closed()


async def answers(connection: ServerConnection) -> None:
    """Answer every text, at some moment, four times faster than it plays; tell when the first chunk was sent."""
    await set_up(connection)
    speech = chunks(REPLY_S)
    async for message in connection:
        if '"text"' not in str(message) or '"setup"' in str(message):
            continue
        await asyncio.sleep(random.uniform(0.05, 0.15))  # noqa: S311  no secret
        sys.stdout.write(f"{time.monotonic()}\n")
        sys.stdout.flush()
        for number, chunk in enumerate(speech):
            if number:
                await asyncio.sleep(CHUNK_MS / 4000)
            await say(connection, turn(chunk))
        await say(connection, {"serverContent": {"generationComplete": True}})
        await say(connection, {"serverContent": {"turnComplete": True}})


SCRIPTS: Final[dict[str, Script]] = {"talk": talk, "sessions": sessions, "answers": answers}


async def _serve(script: Script) -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with live_service(Path(folder), script) as service:
            sys.stdout.write(json.dumps({"base_url": service.base_url, "ca_file": str(service.ca_file)}) + "\n")
            sys.stdout.flush()
            ended = asyncio.Event()
            asyncio.get_running_loop().add_reader(sys.stdin, ended.set)
            await ended.wait()


if __name__ == "__main__":
    asyncio.run(_serve(SCRIPTS[sys.argv[1]]))
