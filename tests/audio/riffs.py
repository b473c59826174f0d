"""WAV files, made by hand."""

import struct

from appliance.audio.riff import Encoding
from appliance.units import Pcm

PCM, FLOAT, EXTENSIBLE = 1, 3, 0xFFFE


def fmt(tag: int, channels: int, rate: int, bits: int) -> bytes:
    width = channels * bits // 8
    plain = struct.pack("<HHIIHH", EXTENSIBLE if tag >> 16 else tag, channels, rate, rate * width, width, bits)
    if not tag >> 16:
        return plain
    guid = struct.pack("<H", tag & 0xFFFF) + bytes.fromhex("000000001000800000aa00389b71")
    return plain + struct.pack("<HHI", 22, bits, 0) + guid


def extensible(tag: int) -> int:
    return EXTENSIBLE << 16 | tag


def riff(*chunks: tuple[bytes, bytes]) -> bytes:
    body = b"".join(name + struct.pack("<I", len(data)) + data + bytes(len(data) % 2) for name, data in chunks)
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WAVE" + body


def stored(samples: Pcm, encoding: Encoding) -> bytes:
    match encoding:
        case Encoding.PCM8:
            return ((samples >> 8) + 128).astype("u1").tobytes()
        case Encoding.PCM16:
            return samples.astype("<i2").tobytes()
        case Encoding.PCM24:
            return b"".join(struct.pack("<i", int(sample) << 8)[:3] for sample in samples)
        case Encoding.PCM32:
            return (samples.astype("<i4") << 16).tobytes()
        case Encoding.FLOAT32:
            return (samples / 32767).astype("<f4").tobytes()
        case Encoding.FLOAT64:
            return (samples / 32767).astype("<f8").tobytes()
