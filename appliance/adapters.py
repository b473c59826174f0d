"""The adapters that the daemon works with; `appliance.app` chooses them."""

from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from appliance.audio.echo.handling import EchoHandling
from appliance.audio.echo.status import EchoStatus
from appliance.audio.ports import Microphone, Speaker
from appliance.audio.worker.messages import Opened
from appliance.button.ports import Button
from appliance.indicator.ports import Light
from appliance.live.ports import LinkConnector, Store, TokenSource
from appliance.service.ports import ServiceManager
from appliance.tools.registry import Registry
from appliance.voice.ports import VoiceDetector
from appliance.wake.ports import WakeEngine


@dataclass(frozen=True, slots=True)
class Adapters:
    """The adapters that the settings name."""

    microphone: Microphone
    speaker: Speaker
    wake: Callable[[], WakeEngine] | None
    """Loads the engine, which takes seconds; None without a wake word."""
    voice: Callable[[], VoiceDetector]
    """Loads the voice detector, in up to a second."""
    light: Light
    button: Button | None
    connector: LinkConnector
    tokens: TokenSource
    usage: Store
    limitations: Store
    """Spending, and limitations found in models; both outlive a restart."""
    registry: Registry
    manager: ServiceManager
    runtime: Path | None = None
    """The directory of the control socket; None for no socket."""
    engine: Callable[[], Coroutine[Any, Any, None]] | None = None
    """Runs the audio worker that microphone and speaker need; None if they need none."""
    cards: Callable[[], Sequence[Opened]] = tuple
    """Returns the sound cards that run."""
    echo: Callable[[], EchoStatus | None] = lambda: None
    """Returns the newest status of the echo canceller; None: there is none."""
    echo_handling: EchoHandling = field(default_factory=EchoHandling)
    enrolment: Callable[[Callable[[], None]], Coroutine[Any, Any, None]] | None = None
    """Runs the token manager and calls back once the device is enrolled; None if tokens need neither."""
    wake_in_thread: bool = True
    """Whether the wake engine is loaded and runs in a thread, and the voice detector is loaded in one."""
