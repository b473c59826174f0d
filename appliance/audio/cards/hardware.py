"""A card's formats, and the one in which it is opened. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from appliance.audio.cards.devices import Direction
from appliance.units import AudioFormat, Hz

SLOWEST_HZ: Final = 8_000
FASTEST_HZ: Final = 192_000
_RATES: Final[Mapping[Direction, tuple[int, ...]]] = {
    Direction.INPUT: (16_000, 48_000, 32_000, 44_100, 96_000, 24_000, 22_050, 88_200, 192_000, 176_400, 64_000, 12_000),
    Direction.OUTPUT: (24_000, 48_000, 44_100, 96_000, 32_000, 88_200, 192_000, 176_400, 64_000, 22_050, 16_000),
}
"""In the order in which they are tried: without conversion, then with the cheapest lossless one. Others follow, the
fastest first."""
STANDARD_RATES: Final = tuple(sorted({*_RATES[Direction.INPUT], *_RATES[Direction.OUTPUT], 11_025, SLOWEST_HZ}))

DIGITAL: Final = "IEC958_SUBFRAME_LE"
"""Frames of a digital wire: the only format that a Raspberry Pi's HDMI takes."""
DIRECT: Final = frozenset({"S16_LE", "S24_3LE", "S32_LE", "FLOAT_LE", "S8", "U8"})
"""Formats that PortAudio converts by itself."""
FORMATS: Final[Mapping[str, int]] = {
    "S8": 0, "U8": 1, "S16_LE": 2, "S24_LE": 6, "S32_LE": 10, "FLOAT_LE": 14, DIGITAL: 18, "S24_3LE": 32,
}  # fmt: skip
"""Sample formats by ALSA's names, with its numbers (``snd_pcm_format_t``)."""


@dataclass(frozen=True, slots=True)
class Hardware:
    """Formats, rates and channels that a PCM takes, as ALSA reports them."""

    channels: Mapping[int, tuple[int, int]]
    """Fewest and most channels, by rate; rates from 8 to 192 kHz."""
    formats: frozenset[str]
    """Names of its sample formats, as far as `FORMATS` lists them."""


def layouts(hardware: Hardware, direction: Direction, channel: int | None = None) -> Iterator[AudioFormat]:
    """Yield the layouts in which to open a card, the best one first.

    A speaker is opened with the fewest channels it has, and all are filled. A microphone is opened with one channel
    where it has true mono, else with two, which are mixed, since either may be the one near the voice; or with as many
    as ``channel``, counted from 1, needs.
    """
    order = {rate_hz: place for place, rate_hz in enumerate(_RATES[direction])}
    for rate_hz in sorted(hardware.channels, key=lambda one: (order.get(one, len(order)), -one)):
        fewest, most = hardware.channels[rate_hz]
        if direction is Direction.OUTPUT:
            yield AudioFormat(Hz(rate_hz), fewest)
        elif channel is None:
            yield AudioFormat(Hz(rate_hz), 1 if fewest == 1 else 2)
        elif channel <= most:
            yield AudioFormat(Hz(rate_hz), channel)


def why_none(hardware: Hardware, channel: int | None) -> str:
    """Return why `layouts` yields nothing."""
    if not hardware.channels:
        return f"it has no rate from {SLOWEST_HZ // 1000} to {FASTEST_HZ // 1000} kHz"
    most = max(most for _, most in hardware.channels.values())
    return f"microphone.channel: it has no channel {channel}, only {most}"
