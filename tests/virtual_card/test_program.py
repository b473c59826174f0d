"""`python -m appliance.virtual_card`: a program sees the card, hears the recording, and what it plays is kept."""

import subprocess
import sys
import textwrap
import wave
from pathlib import Path

import numpy as np
import pytest

from appliance.virtual_card.build import BuildError, plugin

pytestmark = pytest.mark.realtime

PROGRAM = textwrap.dedent("""
    import os, time
    import numpy as np
    import sounddevice
    heard = []
    microphone = sounddevice.RawInputStream(
        device="virtual_mic",
        samplerate=16000,
        channels=1,
        dtype="int16",
        latency=1.0,  # a busy machine may be late
        callback=lambda b, *_: heard.append(bytes(b)),
    )
    speaker = sounddevice.RawOutputStream(device="virtual_speaker", samplerate=24000, channels=1, dtype="int16")
    microphone.start()
    speaker.start()
    speaker.write((np.arange(12000) % 1000 + 1).astype("int16").tobytes())
    def loud():
        return np.count_nonzero(np.frombuffer(b"".join(heard), "int16"))
    deadline = time.monotonic() + 20
    while loud() < 7900 and time.monotonic() < deadline:
        time.sleep(0.1)
    time.sleep(0.3)  # nothing more follows
    print(loud(), flush=True)
    os._exit(7)
""")


def test_a_program_hears_the_recording_and_what_it_plays_is_kept(tmp_path: Path):
    try:
        plugin()
    except BuildError as error:
        pytest.skip(f"no virtual sound card: {error}")
    said = tmp_path / "said.wav"
    with wave.open(str(said), "wb") as file:
        file.setparams((1, 2, 8_000, 0, "NONE", ""))
        file.writeframes(np.full(4_000, 5_000, np.int16).tobytes())
    options = ["--mic", str(said), "--speaker", str(tmp_path / "played.wav"), "--", sys.executable, "-c", PROGRAM]
    done = subprocess.run(
        [sys.executable, "-m", "appliance.virtual_card", *options],
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )
    assert done.returncode == 7, done.stderr
    assert int(done.stdout) == pytest.approx(8_000, rel=0.02)
    with wave.open(str(tmp_path / "played.wav")) as file:
        played = np.frombuffer(file.readframes(file.getnframes()), np.int16)
    loud = played[np.flatnonzero(played)]
    assert np.array_equal(loud[:10_000], np.arange(10_000) % 1000 + 1)


@pytest.mark.parametrize("options", [["--mic", "none.wav", "--", "true"], ["--", "./none"]])
def test_a_recording_or_a_program_that_is_none_is_one_line(options: list[str]):
    done = subprocess.run(
        [sys.executable, "-m", "appliance.virtual_card", *options],
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )
    assert done.returncode == 66
    assert done.stderr.count("\n") == 1
