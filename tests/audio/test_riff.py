"""WAV files as people and programs make them: what is taken, and what is said of the rest."""

import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.audio.riff import decoded, open_wav
from appliance.errors import ExitCode, InputError
from appliance.units import Pcm
from tests.audio.riffs import PCM, extensible, fmt, riff
from tests.audio.tones import tone

PLAIN = fmt(PCM, 1, 16_000, 16)
TONE = tone(16_000, 0.2)
LATER = 0xFFFF_FFFF
"""A length that was not known, or that stands in ds64."""


def chunk(name: bytes, content: bytes, length: int | None = None, pad: bytes = b"\0") -> bytes:
    """A chunk that may lie about its length, or lack the byte that makes it even."""
    claimed = len(content) if length is None else length
    return name + struct.pack("<I", claimed) + content + pad * (len(content) % 2)


def whole(*chunks: bytes, form: bytes = b"RIFF", length: int | None = None) -> bytes:
    body = b"WAVE" + b"".join(chunks)
    return form + struct.pack("<I", len(body) if length is None else length) + body


def samples(path: Path) -> Pcm:
    wav = open_wav(path)
    content = path.read_bytes()[wav.offset :][: wav.frames * wav.encoding.width * wav.format.channels]
    return decoded(content, wav.encoding)


FORMAT, DATA = chunk(b"fmt ", PLAIN), chunk(b"data", TONE.tobytes())
DS64 = struct.pack("<QQQI", len(TONE.tobytes()) + 72, len(TONE.tobytes()), len(TONE), 0)
INFO = b"INFOISFT\x05\0\0\0abcd\0"


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(whole(FORMAT, DATA[:4] + bytes(4) + DATA[8:], length=0), id="GStreamer into a pipe: no lengths"),
        pytest.param(whole(FORMAT, DATA[:4] + bytes(4) + DATA[8:], length=36), id="cut short: the lengths of nothing"),
        pytest.param(
            whole(FORMAT, chunk(b"LIST", INFO), chunk(b"data", TONE.tobytes(), LATER), length=LATER),
            id="ffmpeg into a pipe",
        ),
        pytest.param(whole(FORMAT, chunk(b"data", TONE.tobytes(), 0x7FFF_F000), length=0x7FFF_F024), id="sox, a pipe"),
        pytest.param(whole(FORMAT, chunk(b"data", TONE.tobytes(), 0x8000_0000)), id="arecord into a pipe"),
        pytest.param(whole(FORMAT, chunk(b"LIST", INFO), DATA), id="an odd LIST, made even"),
        pytest.param(whole(FORMAT, chunk(b"LIST", INFO, pad=b""), DATA), id="an odd LIST, not made even"),
        pytest.param(whole(FORMAT, chunk(b"LIST", INFO, pad=b" "), DATA), id="an odd LIST, made even by a blank"),
        pytest.param(whole(chunk(b"LIST", INFO, pad=b""), FORMAT, DATA), id="an odd LIST before the format"),
        pytest.param(whole(FORMAT, chunk(b"data", b""), DATA), id="an empty data chunk before the one that counts"),
        pytest.param(
            whole(chunk(b"ds64", DS64), FORMAT, chunk(b"data", TONE.tobytes(), LATER), form=b"RF64", length=LATER),
            id="RF64",
        ),
        pytest.param(
            whole(
                chunk(b"ds64", DS64),
                chunk(b"bext", bytes(603)),
                FORMAT,
                chunk(b"data", TONE.tobytes(), LATER),
                chunk(b"LIST", INFO),
                form=b"BW64",
                length=LATER,
            ),
            id="BW64 with a broadcast extension, and more behind the samples",
        ),
        pytest.param(
            whole(chunk(b"ds64", bytes(28)), FORMAT, chunk(b"data", TONE.tobytes(), LATER), form=b"RF64"),
            id="RF64 into a pipe: no lengths",
        ),
        pytest.param(whole(chunk(b"JUNK", bytes(28)), FORMAT, DATA), id="room for a ds64 that was not needed"),
        pytest.param(whole(chunk(b"bext", bytes(603)), FORMAT, DATA, chunk(b"iXML", b"<x/>")), id="Broadcast Wave"),
    ],
)
def test_files_of_real_writers_give_every_sample_and_nothing_else(tmp_path, content):
    path = tmp_path / "in.wav"
    path.write_bytes(content)
    assert np.array_equal(samples(path), TONE)


def test_a_name_that_a_shell_would_cut_is_quoted_in_the_advice(tmp_path):
    path = tmp_path / "my voice.wav"
    path.write_bytes(b"ID3\x04")
    with pytest.raises(InputError, match=r"ffmpeg -i 'my voice\.wav' out\.wav$"):
        open_wav(path)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty"),
        (b"ID3\x04" + bytes(500), "is not a WAV file: convert it, for example with: ffmpeg -i in.wav out.wav"),
        (b"Hello", "is not a WAV file"),
        (riff((b"fmt ", PLAIN)), "has no samples"),
        (riff((b"fmt ", PLAIN), (b"data", b"")), "has no samples"),
        (riff((b"fmt ", PLAIN), (b"data", b"\x01")), "has no samples"),
        (riff((b"data", bytes(100)), (b"fmt ", PLAIN)), "samples come before their format"),
        (riff((b"fmt ", PLAIN[:10]), (b"data", bytes(100))), "format chunk is too short"),
        (riff((b"fmt ", fmt(PCM, 1, 16_000, 12)), (b"data", bytes(100))), "12-bit PCM"),
        (riff((b"fmt ", fmt(0x11, 1, 16_000, 4)), (b"data", bytes(100))), "is compressed.* sox in.wav -b 16 out.wav"),
        (riff((b"fmt ", fmt(0x55, 2, 44_100, 16)), (b"data", bytes(100))), "is compressed"),
        (riff((b"fmt ", fmt(extensible(7), 1, 8_000, 8)), (b"data", bytes(100))), "is compressed"),
        (riff((b"fmt ", fmt(PCM, 9, 16_000, 16)), (b"data", bytes(100))), "9 channels.* -c 1 out.wav"),
        (riff((b"fmt ", fmt(PCM, 0, 16_000, 16)), (b"data", bytes(100))), "0 channels"),
        (riff((b"fmt ", fmt(PCM, 1, 3_999, 16)), (b"data", bytes(100))), "3999 Hz.* -r 16000 out.wav"),
        (riff((b"fmt ", fmt(PCM, 1, 192_001, 16)), (b"data", bytes(100))), "192001 Hz"),
    ],
)
def test_what_cannot_be_played_is_refused_with_one_line(tmp_path, content, says):
    path = tmp_path / "in.wav"
    path.write_bytes(content)
    with pytest.raises(InputError, match=says) as caught:
        open_wav(path)
    assert caught.value.exit_code == ExitCode.DATA
    assert str(caught.value).startswith(f"{path} ")
    assert "\n" not in str(caught.value)


@settings(deadline=None, max_examples=150)
@given(st.binary(max_size=120), st.integers(0, 60))
def test_no_damage_is_answered_with_anything_but_an_input_error(tmp_path_factory, damage, at):
    damaged = bytearray(riff((b"fmt ", PLAIN), (b"data", bytes(200))))
    damaged[at : at + len(damage)] = damage
    path = tmp_path_factory.mktemp("wav") / "in.wav"
    path.write_bytes(damaged)
    try:
        found = open_wav(path)
    except InputError:
        return
    assert 0 < found.frames <= len(damaged)


def test_a_missing_file_a_directory_and_an_unreadable_path_are_distinguished(tmp_path):
    with pytest.raises(InputError, match="does not exist") as caught:
        open_wav(tmp_path / "absent.wav")
    assert caught.value.exit_code == ExitCode.NO_INPUT
    with pytest.raises(InputError, match="is not a file"):
        open_wav(tmp_path)
    loop = tmp_path / "loop.wav"
    loop.symlink_to(loop)
    with pytest.raises(InputError, match="cannot be read") as caught:
        open_wav(loop)
    assert caught.value.exit_code == ExitCode.NO_INPUT
