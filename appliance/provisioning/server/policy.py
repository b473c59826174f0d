"""What a device is given: the model, how long a token lives, and what it locks. Pure."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

from appliance.provisioning.protocol import Effective, Purpose, TokenRequest
from appliance.provisioning.server.ports import MintSpec
from appliance.provisioning.server.settings import Settings

NEW_SESSION: Final[Mapping[Purpose, timedelta]] = {
    Purpose.NEW: timedelta(seconds=60),
    Purpose.RESUME: timedelta(seconds=60),
    Purpose.PREFETCH: timedelta(minutes=10),
}
"""How long a session may be begun with a token; the shorter, the less a stolen one is worth."""


def mint_spec(settings: Settings, request: TokenRequest, now: datetime) -> MintSpec:
    """Return the token that ``request`` is worth at ``now``."""
    new_session_expires_at = now + NEW_SESSION[request.purpose]
    return MintSpec(
        model=settings.model,
        new_session_expires_at=new_session_expires_at,
        expires_at=new_session_expires_at + timedelta(minutes=settings.max_session_min),
        voice=settings.lock.voice,
        language=settings.lock.language,
        instruction=settings.lock.instruction,
    )


def effective(settings: Settings) -> Effective:
    """Return what a device is told of the locks."""
    return Effective(voice=settings.lock.voice, language=settings.lock.language)
