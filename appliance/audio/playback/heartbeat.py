"""Signs of life of the speaker. Loop thread only."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

from appliance.audio.ports import Mixer, PlaybackSink, PlayedPeriod
from appliance.units import Seconds


class SpeakerHeartbeat:
    """`PlaybackSink` between the speaker and playback; notes that the speaker lives."""

    def __init__(self, playback: PlaybackSink, on_connected: Callable[[Seconds], None], extra_delay_s: Seconds) -> None:
        """Everything is heard ``extra_delay_s`` later than the speaker says."""
        self.last_at: Seconds | None = None
        """Loop time of the newest sign of life; None while there is no speaker."""
        self._playback = playback
        self._on_connected = on_connected
        self._extra_delay_s = extra_delay_s
        self._loop = asyncio.get_running_loop()

    def connect(self, deck: Mixer, audible_at: Seconds) -> None:
        """The speaker runs."""
        self.beat()
        audible_at = Seconds(audible_at + self._extra_delay_s)
        self._playback.connect(deck, audible_at)
        self._on_connected(audible_at)

    def pulled(self, pulled: PlayedPeriod) -> None:
        """The speaker has taken audio."""
        self._playback.pulled(replace(pulled, audible_at=Seconds(pulled.audible_at + self._extra_delay_s)))

    def beat(self) -> None:
        """The speaker lives."""
        self.last_at = Seconds(self._loop.time())
        self._playback.beat()

    def disconnect(self) -> None:
        """There is no speaker any more."""
        self.last_at = None
        self._playback.disconnect()
