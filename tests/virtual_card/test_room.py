"""A room around the card: its microphone hears its speaker, late and drifting, and a person."""

import json
import subprocess
import sys
import textwrap
import wave
from pathlib import Path

import numpy as np
import pytest
import soxr

from appliance.units import UPLINK, Pcm
from appliance.virtual_card.build import BuildError, plugin

pytestmark = pytest.mark.realtime

PROGRAM = textwrap.dedent("""
    import os, time
    import numpy as np
    import sounddevice
    heard = []
    microphone = sounddevice.RawInputStream(
        device="virtual_mic", samplerate=16000, channels=1, dtype="int16", callback=lambda b, *_: heard.append(bytes(b))
    )
    speaker = sounddevice.RawOutputStream(device="virtual_speaker", samplerate=24000, channels=1, dtype="int16")
    microphone.start()
    speaker.start()
    noise = np.random.default_rng(1).integers(-3000, 3000, 24000).astype("int16")
    speaker.write(bytes(12000) + noise.tobytes() + bytes(24000))
    time.sleep(1.7)  # the person waits for two seconds
    np.save(FILE, np.frombuffer(b"".join(heard), "int16"))
    os._exit(0)
""")


def samples(path: Path) -> tuple[int, Pcm]:
    with wave.open(str(path)) as file:
        return file.getframerate(), np.frombuffer(file.readframes(file.getnframes()), np.int16)


def lag_s(later: Pcm, earlier: Pcm) -> float:
    """Delay of one against the other, by their correlation."""
    size = len(later) + len(earlier)
    products = np.fft.rfft(later, size) * np.conj(np.fft.rfft(earlier, size))
    return UPLINK.duration(int(np.argmax(np.abs(np.fft.irfft(products, size)))))


def rms(sound: Pcm) -> float:
    return float(np.sqrt(np.mean(sound.astype(float) ** 2)))


def card(*options: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "appliance.virtual_card", *map(str, options)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=50)


def test_the_microphone_hears_the_speaker_and_the_person(tmp_path: Path):
    try:
        plugin()
    except BuildError as error:
        pytest.skip(f"no virtual sound card: {error}")
    words = np.sin(np.arange(8_000) * 0.3) * 9_000
    with wave.open(str(tmp_path / "said.wav"), "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", ""))
        file.writeframes(words.astype(np.int16).tobytes())
    program = PROGRAM.replace("FILE", repr(str(tmp_path / "read.npy")))
    options: list[str | Path] = ["--room", "30cm", "--mic", tmp_path / "said.wav", "--record", tmp_path]
    done = card(*options, "--", sys.executable, "-c", program)
    assert done.returncode == 0, done.stderr
    record = json.loads((tmp_path / "room.json").read_text())
    rate_hz, played = samples(tmp_path / "speaker.wav")
    _, captured = samples(tmp_path / "microphone.wav")
    # All that the microphone's program has read was there in time.
    read = np.load(tmp_path / "read.npy")
    begin = round(lag_s(captured, read) * 16_000)
    same = captured[begin : begin + len(read)] == read[: len(captured) - begin]
    assert np.mean(same) == 1.0 or record["late"]
    # The echo is late by what the record says, and as loud as it would be.
    played = soxr.resample(played, rate_hz, 16_000)
    assert lag_s(captured, played) == pytest.approx(record["delay_s"] + 0.3 / 343, abs=0.002)
    loud = np.flatnonzero(np.abs(played) > 100)
    echo = captured[loud[0] + 3_000 : loud[-1]]
    assert 300 < rms(echo) < 3_000
    # The person was heard once.
    ((began_at, ceased_at),) = record["said"]
    assert ceased_at - began_at == pytest.approx(0.5, abs=0.3)
    first, last = (round((at - record["begun_at"]) * 16_000) for at in (began_at, ceased_at))
    assert rms(captured[first:last]) > 4 * rms(captured[first - 2_000 : first])
    assert len(samples(tmp_path / "person.wav")[1]) == pytest.approx(len(captured), abs=2_000)


def test_a_distance_that_is_none_is_a_usage_error():
    done = card("--room", "3 miles", "--", "true")
    assert done.returncode == 2
    assert "has to be a distance, 0.1m to 5m" in done.stderr.splitlines()[-1]
