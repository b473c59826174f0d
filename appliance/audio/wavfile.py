"""A WAV file as a microphone, and a WAV file as a speaker, in the time of the event loop.

Keeps the pace, and completes the file even when the program is interrupted; `riff` parses files.
"""

import asyncio
import os
import wave
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np

from appliance.audio.playback.mixer import RingMixer
from appliance.audio.ports import Block, PlaybackSink
from appliance.audio.resample import Resampler
from appliance.audio.riff import WavFile, decoded, open_wav
from appliance.errors import ExitCode, InputError, MicrophoneError, SpeakerError
from appliance.units import REPLY, UPLINK, Pcm, SampleIndex, Seconds

_PERIOD_S: Final = 0.02
_MAX_BYTES: Final = 0xFFFF_FFFF - 44
"""Limit of the 32-bit lengths in a WAV file: 24 hours at 24 kHz mono."""


def _converted(wav: WavFile, file: BinaryIO) -> Iterator[Pcm]:
    """Yield 16 kHz mono pieces of a file that is positioned at its samples."""
    resampler = Resampler(wav.format, UPLINK.rate_hz)
    piece = wav.format.frames(_PERIOD_S)
    frame_bytes = wav.encoding.width * wav.format.channels
    for begin in range(0, wav.frames, piece):
        content = file.read(min(piece, wav.frames - begin) * frame_bytes)
        yield resampler.feed(decoded(content[: len(content) // frame_bytes * frame_bytes], wav.encoding))
    yield resampler.finish()


def _silence(frames: int) -> Iterator[Pcm]:
    for begin in range(0, frames, UPLINK.frames(_PERIOD_S)):
        yield np.zeros(min(UPLINK.frames(_PERIOD_S), frames - begin), np.int16)


def _periods(*streams: Iterator[Pcm]) -> Iterator[Pcm]:
    """Yield the streams one after the other, cut into whole periods; the last may be shorter."""
    frames = UPLINK.frames(_PERIOD_S)
    waiting: Pcm = np.zeros(0, np.int16)
    for stream in streams:
        for piece in stream:
            waiting = np.concatenate((waiting, piece))
            while len(waiting) >= frames:
                yield waiting[:frames]
                waiting = waiting[frames:]
    if len(waiting):
        yield waiting


class WavMicrophone:
    """Plays a file once, in 20 ms blocks at the pace of a microphone, then silence, then ends.

    Raises:
        InputError: From the constructor, as `open_wav` does.
    """

    def __init__(self, path: Path, then_silence_s: float = 0.0) -> None:
        self._wav = open_wav(path)
        self._then_silence_s = then_silence_s
        self._next = SampleIndex(0)

    async def run(self, on_block: Callable[[Block], None]) -> None:
        """See `ports.Microphone`; a second run plays the file again, with indices that continue."""
        try:
            with self._wav.path.open("rb") as file:
                file.seek(self._wav.offset)
                await self._play(file, on_block)
        except OSError as error:
            raise MicrophoneError(f"{self._wav.path} cannot be read any more: {error.strerror}") from error

    async def _play(self, file: BinaryIO, on_block: Callable[[Block], None]) -> None:
        loop = asyncio.get_running_loop()
        begin, begun_at = self._next, loop.time()
        silence = _silence(UPLINK.frames(self._then_silence_s))
        for samples in _periods(_converted(self._wav, file), silence):
            captured_at = begun_at + UPLINK.duration(self._next + len(samples) - begin)
            await asyncio.sleep(captured_at - loop.time())
            block = Block(self._next, samples, Seconds(captured_at))
            self._next = SampleIndex(self._next + len(samples))
            on_block(block)


class CannotWriteError(SpeakerError):
    """The file that stands for the speaker cannot be written."""

    exit_code = ExitCode.CANNOT_WRITE


class WavSpeaker:
    """Writes everything that is played to a file, 24 kHz mono, in real time, silence included.

    The file appears, complete, when `run` ends or is cancelled.

    Raises:
        InputError: From the constructor: the file cannot be written.
    """

    def __init__(self, path: Path, prebuffer_s: float = 0.06) -> None:
        if path.exists() and not path.is_file():
            # The finished file replaces whatever has its name, even a device.
            raise InputError(f"{path} is not a file: name a file to write", ExitCode.CANNOT_WRITE)
        if not path.parent.is_dir():
            raise InputError(f"{path.parent} does not exist: create it first", ExitCode.CANNOT_WRITE)
        if not os.access(path.parent, os.W_OK | os.X_OK):
            raise InputError(f"{path.parent} cannot be written to: choose another place", ExitCode.CANNOT_WRITE)
        self._path = path
        self._prebuffer_s = prebuffer_s

    async def run(self, playback: PlaybackSink) -> None:
        """See `ports.Speaker`; the mixer runs in this process, on the loop's thread."""
        part = self._path.with_name(f".{self._path.name}.part")
        try:
            with part.open("wb") as raw:
                try:
                    with wave.open(raw, "wb") as file:
                        file.setparams((1, 2, REPLY.rate_hz, 0, "NONE", ""))
                        await self._record(playback, file)
                finally:
                    raw.flush()
                    os.fsync(raw.fileno())
                    part.replace(self._path)
        except OSError as error:
            part.unlink(missing_ok=True)
            raise CannotWriteError(f"{self._path} cannot be written: {error.strerror}") from error

    async def _record(self, playback: PlaybackSink, file: wave.Wave_write) -> None:
        """Write each period when it is due, until cancelled or the file is full."""
        loop = asyncio.get_running_loop()
        begun_at, frames = loop.time(), REPLY.frames(_PERIOD_S)
        mixer = RingMixer(playback.played, prebuffer_s=self._prebuffer_s)
        playback.connect(mixer, Seconds(begun_at))
        try:
            for begin in range(0, _MAX_BYTES // 2, frames):
                due_at = begun_at + REPLY.duration(begin)
                await asyncio.sleep(due_at - loop.time())
                # Not the time when it was due: a period that comes late was not heard earlier.
                audible_at = Seconds(max(due_at, loop.time()))
                file.writeframesraw(mixer.pull(frames, audible_at).astype("<i2", copy=False).tobytes())
                playback.heartbeat()
        finally:
            playback.disconnect()
        raise CannotWriteError("the WAV file is full: it holds 24 hours at most")
