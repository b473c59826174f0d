"""Parses WAV files as real programs write them: their format, and the offset of their samples.

Reads RIFF, RF64 and BW64 of any rate, 1 to 8 channels, PCM of 8 to 32 bits, float of 32 or 64; a file that cannot be
used is refused with one clear line. Sources: Microsoft, "Multiple channel audio data and WAVE files"; EBU Tech 3306
(RF64) and 3285 (Broadcast Wave).

libsndfile reads more formats, but finds no samples in a recording whose writer could not seek back to fill in a length,
which matters here.
"""

import shlex
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np

from appliance.errors import ExitCode, InputError
from appliance.units import AudioFormat, Hz, Pcm

_RATES: Final = range(4_000, 192_001)
_CHANNELS: Final = range(1, 9)
_FORMS: Final = frozenset({b"RIFF", b"RF64", b"BW64"})
_ELSEWHERE: Final = 0xFFFF_FFFF
"""Stands for a length in the chunk ds64, or for an unknown one."""
_COMMON: Final = frozenset({b"fmt ", b"data", b"fact", b"LIST", b"bext", b"iXML", b"cue ", b"smpl", b"PEAK", b"id3 "})
"""Known chunk names, which distinguish the start of a chunk from samples or padding."""

_FORMAT_PCM: Final = 0x0001
_FORMAT_FLOAT: Final = 0x0003
_FORMAT_EXTENSIBLE: Final = 0xFFFE


class Encoding(Enum):
    """Storage format of a sample, little-endian; the values are bytes per sample and kind."""

    PCM8 = (1, "pcm")
    """Unsigned, unlike the others."""
    PCM16 = (2, "pcm")
    PCM24 = (3, "pcm")
    PCM32 = (4, "pcm")
    FLOAT32 = (4, "float")
    FLOAT64 = (8, "float")

    @property
    def width(self) -> int:
        """Bytes per sample."""
        return self.value[0]


@dataclass(frozen=True, slots=True)
class WavFile:
    """A file that can be played: its format, and the offset of its samples in bytes."""

    path: Path
    format: AudioFormat
    encoding: Encoding
    offset: int
    frames: int


def open_wav(path: Path) -> WavFile:
    """Parse a WAV file without keeping it open; of a truncated data chunk, the part that is there counts.

    Raises:
        InputError: It is missing or cannot be played; the message says what to do.
    """
    try:
        if path.exists() and not path.is_file():
            raise InputError(f"{path} is not a file: name a WAV file")
        with path.open("rb") as file:
            return _parse(path, file, path.stat().st_size)
    except FileNotFoundError:
        raise InputError(f"{path} does not exist: check the path", ExitCode.NO_INPUT) from None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}", ExitCode.NO_INPUT) from error


def _parse(path: Path, file: BinaryIO, size: int) -> WavFile:
    if size == 0:
        raise InputError(f"{path} is empty: record or export it again")
    head = file.read(12)
    if head[:4] not in _FORMS or head[8:12] != b"WAVE":
        # not sox, which goes by the file's extension
        raise InputError(f"{path} is not a WAV file: convert it, for example with: ffmpeg -i {_name(path)} out.wav")
    found: tuple[AudioFormat, Encoding] | None = None
    long_length = _ELSEWHERE
    for name, length in _chunks(file):
        if name == b"ds64":
            long_length = int.from_bytes(file.read(16)[8:], "little")
        elif name == b"fmt ":
            found = _parse_format(path, file.read(min(length, 40)))
        elif name == b"data":
            if found is None:
                raise InputError(f"{path} is damaged: its samples come before their format")
            layout, encoding = found
            offset = file.tell()
            claimed = long_length if length == _ELSEWHERE else length
            there = size - offset
            frames = (min(claimed, there) or _unclaimed(file, there)) // (encoding.width * layout.channels)
            if frames:
                return WavFile(path, layout, encoding, offset, frames)
    raise InputError(f"{path} has no samples: record or export it again")


def _unclaimed(file: BinaryIO, there: int) -> int:
    """Return the bytes of samples in a chunk of length 0: all that follow, if the writer could not fill in the length.

    A recorder that writes to a pipe cannot; others leave an empty chunk before the real one.
    """
    return 0 if file.read(4) in _COMMON else there


def _chunks(file: BinaryIO) -> Iterator[tuple[bytes, int]]:
    """Yield name and length of each chunk, with the file positioned at its content.

    Chunks begin at even offsets; some writers omit the padding byte after an odd length.
    """
    while len(header := file.read(8)) == 8:
        name, length = struct.unpack("<4sI", header)
        begin = file.tell()
        yield name, length
        file.seek(begin + length)
        padded = length % 2 == 1 and file.read(4) not in _COMMON
        file.seek(begin + length + padded)


def _parse_format(path: Path, content: bytes) -> tuple[AudioFormat, Encoding]:
    if len(content) < 16:
        raise InputError(f"{path} is damaged: its format chunk is too short")
    tag, channels, rate, _, frame_bytes, bits = struct.unpack_from("<HHIIHH", content)
    if tag == _FORMAT_EXTENSIBLE and len(content) >= 26:
        (tag,) = struct.unpack_from("<H", content, 24)  # the sub-format begins with the tag
    if tag not in {_FORMAT_PCM, _FORMAT_FLOAT}:
        raise InputError(f"{path} is compressed (WAV format {tag:#06x}): {_convert(path)}")
    kind = "pcm" if tag == _FORMAT_PCM else "float"
    try:
        encoding = Encoding((bits // 8 if bits % 8 == 0 else 0, kind))
    except ValueError:
        raise InputError(f"{path} is {bits}-bit {kind.replace('pcm', 'PCM')}: {_convert(path)}") from None
    if channels not in _CHANNELS or frame_bytes != channels * encoding.width:
        raise InputError(f"{path} has {channels} channels of {frame_bytes} bytes a frame: {_convert(path, '-c 1 ')}")
    if rate not in _RATES:
        raise InputError(f"{path} has a rate of {rate} Hz, not 4 to 192 kHz: {_convert(path, '-r 16000 ')}")
    return AudioFormat(Hz(rate), channels), encoding


def _convert(path: Path, options: str = "") -> str:
    return f"convert it, for example with: sox {_name(path)} -b 16 {options}out.wav"


def _name(path: Path) -> str:
    return shlex.quote(path.name)


def decoded(content: bytes, encoding: Encoding) -> Pcm:
    """Return int16 samples, shape (samples,): the upper 16 bits of wider PCM, or floats from -1 to 1 scaled."""
    match encoding:
        case Encoding.PCM8:
            shifted: Pcm = (np.frombuffer(content, np.uint8).astype(np.int16) - 128) << 8
            return shifted
        case Encoding.PCM16:
            return np.frombuffer(content, "<i2").astype(np.int16, copy=False)
        case Encoding.FLOAT32 | Encoding.FLOAT64:
            clean = np.nan_to_num(np.frombuffer(content, f"<f{encoding.width}"), nan=0.0)
            rounded: Pcm = np.rint(np.clip(clean, -1.0, 1.0) * 32767).astype(np.int16)
            return rounded
        case Encoding.PCM24 | Encoding.PCM32:
            column = np.frombuffer(content, np.uint8).reshape(-1, encoding.width)
            upper: Pcm = np.ascontiguousarray(column[:, -2:]).view("<i2")[:, 0]
            return upper.astype(np.int16, copy=False)
