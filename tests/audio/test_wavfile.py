"""WAV files as microphone and speaker: what is accepted, what is said of the rest, and time."""

import asyncio
import os
import resource
import wave
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.audio.playback.playback import Playback
from appliance.audio.ports import Block, Mixer, PlayedPeriod
from appliance.audio.riff import Encoding, open_wav
from appliance.audio.wavfile import WavMicrophone, WavSpeaker
from appliance.errors import ExitCode, InputError, MicrophoneError, SpeakerError
from appliance.units import Pcm, Seconds
from tests.audio.riffs import FLOAT, PCM, extensible, fmt, riff, stored
from tests.audio.tones import tone


async def heard(microphone: WavMicrophone) -> list[Block]:
    blocks: list[Block] = []

    await microphone.run(blocks.append)
    return blocks


def joined(blocks: list[Block]) -> Pcm:
    return np.concatenate([block.samples for block in blocks])


# The microphone.


@pytest.mark.parametrize("encoding", Encoding)
@pytest.mark.parametrize("wrap", [int, extensible])
async def test_every_encoding_gives_the_same_samples(tmp_path, encoding, wrap):
    samples = np.concatenate((tone(16_000, 0.11), np.array([32_767, -32_767, 1, -1], np.int16)))
    tag = FLOAT if encoding in {Encoding.FLOAT32, Encoding.FLOAT64} else PCM
    path = tmp_path / "in.wav"
    chunks = (
        (b"fmt ", fmt(wrap(tag), 1, 16_000, encoding.width * 8)),
        (b"LIST", b"odd"),
        (b"data", stored(samples, encoding)),
    )
    path.write_bytes(riff(*chunks))
    assert open_wav(path).encoding is encoding
    expected = samples & ~0xFF if encoding is Encoding.PCM8 else samples
    assert np.array_equal(joined(await heard(WavMicrophone(path))), expected)


async def test_stereo_at_44100_hz_becomes_16_khz_mono(tmp_path):
    left = tone(44_100, 1.0, peak=12_000)
    frames = np.stack((left, left // 3), axis=1)
    path = tmp_path / "in.wav"
    path.write_bytes(riff((b"fmt ", fmt(PCM, 2, 44_100, 16)), (b"data", frames.tobytes())))
    result = joined(await heard(WavMicrophone(path)))
    assert len(result) == 16_000
    expected = tone(16_000, 1.0, peak=8_000)
    assert np.abs(result.astype(int) - expected)[500:-500].max() < 20


async def test_blocks_come_at_the_pace_of_a_microphone(tmp_path):
    path = tmp_path / "in.wav"
    path.write_bytes(riff((b"fmt ", fmt(PCM, 1, 48_000, 16)), (b"data", tone(48_000, 60.007).tobytes())))
    microphone = WavMicrophone(path, then_silence_s=0.5)
    seen: list[tuple[float, Block]] = []

    loop = asyncio.get_running_loop()
    begun_at = loop.time()
    await microphone.run(lambda block: seen.append((loop.time(), block)))
    assert loop.time() == pytest.approx(begun_at + 60.507, abs=1e-3)
    for now, block in seen:
        assert now == pytest.approx(block.captured_at, abs=1e-6)
        assert block.captured_at == pytest.approx(begun_at + (block.start + len(block.samples)) / 16_000, abs=1e-6)
    blocks = [block for _, block in seen]
    assert [block.start for block in blocks] == list(range(0, len(blocks) * 320, 320))
    assert {len(block.samples) for block in blocks[:-1]} == {320}
    assert len(joined(blocks)) == round(60.507 * 16_000)
    assert not joined(blocks)[-8_000 + 320 :].any()


async def test_a_slow_listener_does_not_make_the_file_drift(tmp_path):
    path = tmp_path / "in.wav"
    path.write_bytes(riff((b"fmt ", fmt(PCM, 1, 16_000, 16)), (b"data", tone(16_000, 2.0).tobytes())))

    loop = asyncio.get_running_loop()
    begun_at = loop.time()
    delays = iter([0.0] * 10 + [0.3] + [0.0] * 200)

    def listen(_block: Block) -> None:
        loop._jumping.now += next(delays)  # type: ignore[attr-defined]

    await WavMicrophone(path).run(listen)
    assert loop.time() == pytest.approx(begun_at + 2.0, abs=1e-6)


async def test_a_second_run_goes_on_counting(tmp_path):
    path = tmp_path / "in.wav"
    path.write_bytes(riff((b"fmt ", fmt(PCM, 1, 16_000, 16)), (b"data", tone(16_000, 0.1).tobytes())))
    microphone = WavMicrophone(path)
    await heard(microphone)
    assert (await heard(microphone))[0].start == 1_600


@settings(deadline=None, max_examples=40)
@given(
    st.integers(1, 8),
    st.sampled_from([4_000, 11_025, 16_000, 44_100, 192_000]),
    st.integers(1, 3_000),
    st.sampled_from(Encoding),
)
async def test_any_rate_and_channel_count_keeps_its_length(tmp_path_factory, channels, rate, frames, encoding):
    path = tmp_path_factory.mktemp("wav") / "in.wav"
    tag = FLOAT if encoding in {Encoding.FLOAT32, Encoding.FLOAT64} else PCM
    content = stored(np.ones(frames * channels, np.int16), encoding)
    path.write_bytes(riff((b"fmt ", fmt(tag, channels, rate, encoding.width * 8)), (b"data", content)))
    blocks = await heard(WavMicrophone(path))
    assert abs(sum(len(block.samples) for block in blocks) - frames * 16_000 / rate) <= 0.5


async def test_a_data_chunk_that_is_cut_short_plays_as_far_as_it_goes(tmp_path):
    path = tmp_path / "in.wav"
    samples = tone(16_000, 1.0)
    whole = riff((b"fmt ", fmt(PCM, 1, 16_000, 16)), (b"data", samples.tobytes()))
    path.write_bytes(whole[:-10_001])
    assert np.array_equal(joined(await heard(WavMicrophone(path))), samples[: 16_000 - 5_001])


async def test_floats_beyond_full_scale_and_no_numbers_are_tamed(tmp_path):
    path = tmp_path / "in.wav"
    floats = np.array([2.0, -2.0, np.nan, np.inf, 0.5], "<f4")
    path.write_bytes(riff((b"fmt ", fmt(FLOAT, 1, 16_000, 32)), (b"data", floats.tobytes())))
    assert joined(await heard(WavMicrophone(path))).tolist() == [32_767, -32_767, 0, 32_767, 16_384]


async def test_a_file_that_vanishes_is_a_failed_microphone(tmp_path):
    path = tmp_path / "in.wav"
    path.write_bytes(riff((b"fmt ", fmt(PCM, 1, 16_000, 16)), (b"data", bytes(100))))
    microphone = WavMicrophone(path)
    path.unlink()
    with pytest.raises(MicrophoneError, match="cannot be read any more"):
        await heard(microphone)


# The speaker.


REPLY_SAMPLES = (np.arange(24_000 * 3) % 30_000).astype(np.int16)


class OneReply(Playback):
    """Plays the numbers of its samples from the beginning, and remembers when the speaker lived."""

    def __init__(self) -> None:
        super().__init__()
        self.beats: list[float] = []

    def connect(self, mixer: Mixer, audible_at: Seconds) -> None:
        super().connect(mixer, audible_at)
        mixer.queue(REPLY_SAMPLES)

    def played(self, period: PlayedPeriod) -> None:
        """Ignore it: the mixer has the reply."""

    def heartbeat(self) -> None:
        self.beats.append(asyncio.get_running_loop().time())


def recorded(path: Path) -> Pcm:
    with wave.open(str(path)) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, 24_000)
        return np.frombuffer(file.readframes(file.getnframes()), "<i2")


async def test_the_speaker_writes_a_whole_file_in_true_time_even_when_cancelled(tmp_path):
    path = tmp_path / "out.wav"
    source = OneReply()

    begun_at = asyncio.get_running_loop().time()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(3.01):
            await WavSpeaker(path).run(source)
    assert source.beats == pytest.approx([begun_at + period * 0.02 for period in range(151)], abs=1e-6)
    heard = recorded(path)
    assert len(heard) == 151 * 480
    assert np.array_equal(heard[72:71_000], REPLY_SAMPLES[72:71_000])  # the first 3 ms are faded in
    assert [entry.name for entry in tmp_path.iterdir()] == ["out.wav"]


async def test_nothing_appears_before_the_speaker_has_ended(tmp_path):
    path = tmp_path / "out.wav"
    path.write_bytes(b"before")

    async with asyncio.TaskGroup() as group:
        task = group.create_task(WavSpeaker(path).run(OneReply()))
        await asyncio.sleep(1)
        assert path.read_bytes() == b"before"
        task.cancel()
    assert len(recorded(path)) > 20_000


def test_a_place_that_cannot_be_written_is_refused_before_anything_starts(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for place in (tmp_path, pipe):
        with pytest.raises(InputError, match="is not a file") as caught:
            WavSpeaker(place)
        assert caught.value.exit_code == ExitCode.CANNOT_WRITE
    with pytest.raises(InputError, match="does not exist: create it") as caught:
        WavSpeaker(tmp_path / "absent" / "out.wav")
    assert caught.value.exit_code == ExitCode.CANNOT_WRITE


async def test_a_place_that_vanishes_is_a_failed_speaker(tmp_path):
    folder = tmp_path / "usb"
    folder.mkdir()
    speaker = WavSpeaker(folder / "out.wav")
    folder.rmdir()

    with pytest.raises(SpeakerError, match="cannot be written"):
        await speaker.run(OneReply())


async def test_a_disk_that_is_full_is_a_failed_speaker_and_leaves_no_rubbish(tmp_path):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with pytest.raises(SpeakerError, match="cannot be written") as caught:
            await WavSpeaker(tmp_path / "out.wav").run(OneReply())
        assert caught.value.exit_code == ExitCode.CANNOT_WRITE
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not list(tmp_path.iterdir())
