"""Reports of playback, and its counters."""

from collections.abc import Callable
from dataclasses import dataclass

from appliance.units import Epoch, Pcm, Seconds


def _ignore(*_: object) -> None:
    """Ignore a report."""


@dataclass(frozen=True, slots=True)
class Reports:
    """Callbacks on the loop's thread, each when its moment has come."""

    on_audible: Callable[[Epoch, Seconds], None] = _ignore
    """The first sample of a reply was heard, at this moment."""
    on_played: Callable[[Seconds, Pcm], None] = _ignore
    """These samples of a reply, 24 kHz mono before the volume, are heard from this moment on; called ahead of it."""
    on_drained: Callable[[Epoch], None] = _ignore
    """The last sample of a finished reply has been heard; called once, and not for a reply that was flushed."""
    on_stalled: Callable[[Epoch], None] = _ignore
    """An unfinished reply has had nothing to play for too long; called again only after a write."""
    on_silent: Callable[[Seconds], None] = _ignore
    """After a flush: the last sample of the reply was heard, at this moment, or the first silence if none played."""
    on_connected: Callable[[Seconds], None] = _ignore
    """A speaker runs; its first sample, silence included, is heard at this moment."""


@dataclass(slots=True)
class PlaybackCounts:
    """Since the start; samples where nothing else is said."""

    played: int = 0
    """Reply samples, by a mixer; those count again that a lost mixer had played and nobody heard, or that are
    repeated after a pause."""
    dropped: int = 0
    """Reply samples refused as stale; not those that a flush removed."""
    underruns: int = 0
    """Times that a reply ran out of samples before its end."""
    flushes: int = 0
    waits: int = 0
    """Periods for which `write` waited, because ``ring_s`` was full."""
    sounds_dropped: int = 0
    """Sounds that came while there was no mixer."""
    resumed: int = 0
    """Times that a reply resumed on another mixer."""
    pauses: int = 0
