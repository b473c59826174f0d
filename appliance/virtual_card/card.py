"""A sound card with two jacks, a microphone and a speaker, whose every sample can be set or read; see pcm_virtual.c.

Each jack has its own clock, as two USB devices do, and its own hardware parameters. Times are CLOCK_MONOTONIC seconds:
`time.monotonic`, and `loop.time` of a real event loop.
"""

import mmap
import os
import struct
import time
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Final

import numpy as np

from appliance.audio.cards.devices import Direction
from appliance.units import Pcm
from appliance.virtual_card.build import plugin

RING: Final = 1 << 22
"""Frames that a jack holds: 87 s at 48 kHz, 262 s at 16 kHz. Older frames are overwritten."""
_CHANNELS: Final = 2
_HEADER: Final = 4096
_MAGIC: Final = 0x56434431
_ALSA_CONF: Final = "/usr/share/alsa/alsa.conf"

# Offsets of the header's fields, in bytes.
_FAULT, _VERSION, _IS_SPEAKER, _BASE_NS, _BASE_FRAME, _PPM = 20, 24, 28, 32, 40, 48
_OPENS, _CLOSES, _XRUNS, _OWNER, _WRITTEN, _XRUN_WANTED, _PERIOD, _BUFFER = 56, 64, 72, 80, 88, 96, 100, 104


class Fault(IntEnum):
    """A jack's fault; the numbers are those of pcm_virtual.c."""

    FINE = 0
    GONE = 1
    """Unplugged while an xrun was pending: PortAudio 19.6 loops endlessly and fills stderr."""
    STALLED = 2
    """Its clock has stopped: no frames, and no error."""
    DISCONNECTED = 3
    """Unplugged, as the kernel reports it: POLLERR and POLLNVAL, and state DISCONNECTED."""
    ABSENT = 4
    """Not plugged in (ENODEV)."""
    BUSY = 5
    """In use by another program (EBUSY)."""
    DENIED = 6
    """This user may not open it (EACCES)."""


class Sample(IntEnum):
    """Sample formats, by ALSA's names; the numbers are those of pcm_virtual.c."""

    S16_LE = 0
    S24_3LE = 1
    """24 bits in three bytes, as on USB cards."""
    S24_LE = 2
    """24 bits in four bytes, as on I2S cards; PortAudio does not support it."""
    S32_LE = 3
    IEC958_SUBFRAME_LE = 4
    """S/PDIF subframes, the only format that a Raspberry Pi's HDMI takes."""


@dataclass(frozen=True, slots=True)
class Hardware:
    """A jack's hardware parameters: one rate, one format."""

    rate_hz: int
    channels: tuple[int, int] = (1, 2)
    """Minimum and maximum. A microphone's channels beyond the second repeat the second."""
    sample: Sample = Sample.S16_LE


class Jack:
    """One direction of the card."""

    def __init__(self, name: str, path: Path, hardware: Hardware, direction: Direction) -> None:
        self.name = name
        """The PCM's name, for ALSA and PortAudio."""
        self.rate_hz = hardware.rate_hz
        self.path = path
        bytes_total = _HEADER + RING * _CHANNELS * 2
        with path.open("w+b") as file:
            file.truncate(bytes_total)
            self._map = mmap.mmap(file.fileno(), bytes_total)
        self._ring = np.frombuffer(self._map, np.int16, RING * _CHANNELS, _HEADER).reshape(RING, _CHANNELS)
        struct.pack_into("<qdd", self._map, _BASE_NS, time.monotonic_ns(), 0.0, 0.0)
        struct.pack_into("<I", self._map, _IS_SPEAKER, direction is Direction.OUTPUT)
        struct.pack_into("<5I", self._map, 0, _MAGIC, hardware.rate_hz, *hardware.channels, hardware.sample)

    def close(self) -> None:
        """Unmap and delete the file."""
        del self._ring
        self._map.close()
        self.path.unlink()

    # The clock

    def frame(self, at: float) -> int:
        """Return the frame that is at the jack at this time."""
        base_ns, base_frame, ppm = struct.unpack_from("<qdd", self._map, _BASE_NS)
        return int(base_frame + (at - base_ns * 1e-9) * self.rate_hz * (1 + ppm * 1e-6))

    def time_of(self, frame: int) -> float:
        """Return the time at which a frame is at the jack."""
        base_ns, base_frame, ppm = struct.unpack_from("<qdd", self._map, _BASE_NS)
        return float(base_ns * 1e-9 + (frame - base_frame) / (self.rate_hz * (1 + ppm * 1e-6)))

    @property
    def now(self) -> int:
        """The frame that is at the jack now."""
        return self.frame(time.monotonic())

    def drift(self, ppm: float) -> None:
        """Make the clock run faster by ``ppm`` from now on, without a jump."""
        self._set_clock(0.0, ppm)

    def skip(self, frames: int) -> None:
        """Lose frames: the clock jumps ahead."""
        self._set_clock(frames, struct.unpack_from("<d", self._map, _PPM)[0])

    def _set_clock(self, skipped: float, ppm: float) -> None:
        base_ns, base_frame, before = struct.unpack_from("<qdd", self._map, _BASE_NS)
        now_ns = time.monotonic_ns()
        frame = base_frame + (now_ns - base_ns) * 1e-9 * self.rate_hz * (1 + before * 1e-6) + skipped
        version = self._read("<I", _VERSION)
        struct.pack_into("<I", self._map, _VERSION, version + 1)
        struct.pack_into("<qdd", self._map, _BASE_NS, now_ns, frame, ppm)
        struct.pack_into("<I", self._map, _VERSION, version + 2)

    # Frames

    def put(self, frame: int, samples: Pcm) -> None:
        """Write samples into a microphone, on both channels, beginning at a frame."""
        index = np.arange(frame, frame + len(samples)) % RING
        self._ring[index] = samples[:, np.newaxis]

    def fill(self, lap: Pcm, channel: int | None = None) -> None:
        """Repeat `RING` samples in a microphone: frame f is ``lap[f % RING]``, on all channels or on channel 1 or 2."""
        if channel is None:
            self._ring[:] = lap[:, np.newaxis]
        else:
            self._ring[:, channel - 1] = lap

    def played(self, start: int, stop: int) -> Pcm:
        """Return the frames that a speaker played, first channel."""
        return self.channels(start, stop)[:, 0]

    def channels(self, start: int, stop: int) -> Pcm:
        """Return frames, shape (frames, 2).

        Of a speaker, the second column is the quietest of all channels but the first. Raises ValueError where the ring
        does not hold as many.
        """
        if stop - start > RING:
            raise ValueError("more frames than the ring holds")
        return self._ring[np.arange(start, stop) % RING].copy()

    # Faults and counts

    def fail(self, fault: Fault) -> None:
        """Set a fault; `Fault.FINE` clears it."""
        struct.pack_into("<i", self._map, _FAULT, fault)

    def xrun(self) -> None:
        """Cause an overrun or underrun, found at the program's next call."""
        struct.pack_into("<i", self._map, _XRUN_WANTED, 1)

    @property
    def opens(self) -> int:
        """Times that it was opened, probes included."""
        return self._read("<Q", _OPENS)

    @property
    def xruns(self) -> int:
        """Overruns or underruns."""
        return self._read("<Q", _XRUNS)

    @property
    def owner(self) -> int:
        """Process id that has it open; 0 for none."""
        return self._read("<q", _OWNER)

    @property
    def written(self) -> int:
        """The frame after the newest one written to a speaker."""
        return self._read("<q", _WRITTEN)

    @property
    def period_and_buffer(self) -> tuple[int, int]:
        """Frames of each, as it was last opened."""
        return self._read("<I", _PERIOD), self._read("<I", _BUFFER)

    def _read(self, form: str, at: int) -> int:
        return int(struct.unpack_from(form, self._map, at)[0])


class VirtualCard:
    """A microphone and a speaker, and the environment variables with which a process sees them."""

    def __init__(
        self, folder: Path, microphone: Hardware = Hardware(16_000), speaker: Hardware = Hardware(24_000)
    ) -> None:
        """Create the card's files in ``folder``; raises BuildError."""
        library = plugin()
        self.microphone = Jack("virtual_mic", _ring_file(folder, "mic"), microphone, Direction.INPUT)
        self.speaker = Jack("virtual_speaker", _ring_file(folder, "speaker"), speaker, Direction.OUTPUT)
        jacks = "".join(
            f'pcm.{jack.name} {{ type virtual file "{jack.path}" }}\n' for jack in (self.microphone, self.speaker)
        )
        self._config = folder / "asound.conf"
        self._config.write_text(f'pcm_type.virtual {{ lib "{library}" }}\n{jacks}', encoding="ascii")

    @property
    def environment(self) -> dict[str, str]:
        """Environment variables for a process that is to see the card."""
        return {"ALSA_CONFIG_PATH": f"{_ALSA_CONF}:{self._config}"}

    def configure(self, text: str) -> None:
        """Append to asound.conf."""
        with self._config.open("a", encoding="utf-8") as file:
            file.write(text)

    def close(self) -> None:
        """Remove it."""
        self.microphone.close()
        self.speaker.close()


def _ring_file(folder: Path, name: str) -> Path:
    """Return the path of a ring: in memory if possible, since it is written continuously."""
    memory = Path("/dev/shm")  # noqa: S108  not a temporary file: its name is unique
    place = memory if os.access(memory, os.W_OK) else folder
    return place / f"virtual-card-{os.getpid()}-{time.monotonic_ns()}-{name}"
