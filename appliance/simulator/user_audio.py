"""The person's audio as it comes, at any rate, and as the model hears it: 16 kHz."""

from appliance.audio.resample import Resampler
from appliance.simulator.contract.messages import Message, samples
from appliance.units import UPLINK, AudioFormat, Hz, Pcm


class UserAudio:
    """One stream of audio; a change of rate begins another one, and what the old one still held is lost."""

    def __init__(self) -> None:
        self._rate_hz = UPLINK.rate_hz
        self._resampler = _resampler(self._rate_hz)

    def take(self, blob: Message) -> Pcm:
        """Return what is ready of the stream with one more piece, 16 kHz mono; raises ContractError."""
        pcm, rate_hz = samples(blob)
        if rate_hz != self._rate_hz:
            self._rate_hz = Hz(rate_hz)
            self._resampler = _resampler(self._rate_hz)
        return self._resampler.feed(pcm)

    def end(self) -> Pcm:
        """The stream pauses: return the rest of it."""
        rest = self._resampler.finish()
        self._resampler = _resampler(self._rate_hz)
        return rest


def _resampler(rate_hz: Hz) -> Resampler:
    return Resampler(AudioFormat(rate_hz, 1), UPLINK.rate_hz)
