"""Messages as long as the service can make them: what is kept of them, and what memory they take."""

import asyncio
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

import pytest
from google.genai import types

from appliance.live.gemini.translate import MAX_TEXT, translate
from appliance.live.messages import Grounding, HeardText, SpokenText, TurnComplete
from appliance.live.ports import Role
from appliance.live.transcript import MAX_SOURCES, MAX_TURN_CHARACTERS, TranscriptRecorder
from appliance.units import Epoch
from tests.support.live_service import live_service, say, set_up

MEGABYTES = 15
ROOM_MIB = 200
"""Between what the daemon takes at rest and the limit of its unit there is more than this."""
LISTENER = """
import asyncio, resource, sys
from pathlib import Path
from appliance.core.state import Mode
from appliance.live.gemini.connection import GeminiConnector
from appliance.live.messages import TurnComplete
from appliance.live.ports import LiveToken, Request
from appliance.live.transcript import TranscriptRecorder
from appliance.config.schema import LiveSettings
from appliance.units import Seconds

def peak_mib():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024

async def main(url, ca_file):
    token = LiveToken("auth_tokens/x", "gemini-3.8-live", "v1alpha", url, Seconds(0.0), Seconds(60.0), Seconds(1800.0))
    connector = GeminiConnector(LiveSettings(ca_file=Path(ca_file)), ())
    words = TranscriptRecorder()
    async with connector.open(token, Request(Mode.HANDS_FREE)) as link:
        before = peak_mib()
        async for message in link.messages():
            if turns := words.feed(message):
                print(peak_mib() - before, sum(len(turn.text) for turn in turns), flush=True)
                return

asyncio.run(main(*sys.argv[1:]))
"""


def test_of_a_long_transcript_the_beginning_is_read_and_the_rest_counted():
    text = types.Transcription(text="a" * (MAX_TEXT + 1))
    content = types.LiveServerContent(input_transcription=text, output_transcription=text)
    malformed: list[str] = []
    read = list(translate(types.LiveServerMessage(server_content=content), malformed.append))
    assert read == [HeardText("a" * MAX_TEXT), SpokenText("a" * MAX_TEXT)]
    assert len(malformed) == 2


def test_a_turn_that_never_ends_is_kept_up_to_a_bound():
    words = TranscriptRecorder()
    for number in range(200):
        for kind in (HeardText, SpokenText):
            words.feed(kind("word " * 200))
        words.feed(Grounding(tuple(f"https://{number}.{one}.test" for one in range(10))))
        words.received(Epoch(1), 24_000)
    cut = words.truncate(24_000 * 199)
    assert cut
    assert cut.note
    assert len(cut.note) <= MAX_TURN_CHARACTERS + 200
    turns = words.feed(TurnComplete())
    assert {turn.role for turn in turns} == set(Role)
    assert all(len(turn.text) <= MAX_TURN_CHARACTERS for turn in turns)
    assert max(len(turn.sources) for turn in turns) == MAX_SOURCES


@pytest.mark.realtime
@pytest.mark.slow
async def test_six_transcripts_of_15_megabytes_stay_below_the_limit_of_the_unit(tmp_path: Path):
    async def script(connection):
        await set_up(connection)
        for kind in ("inputTranscription", "outputTranscription") * 3:
            await say(connection, {"serverContent": {kind: {"text": "word " * (MEGABYTES * 200_000)}}})
        await say(connection, {"serverContent": {"turnComplete": True}})
        await connection.wait_closed()

    async with live_service(tmp_path, script) as service:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", LISTENER, service.base_url, str(service.ca_file), stdout=PIPE
        )
        out, _ = await process.communicate()
        grown_mib, letters = [int(number) for number in out.split()]
    assert grown_mib < ROOM_MIB
    assert 0 < letters <= 6 * MAX_TEXT
