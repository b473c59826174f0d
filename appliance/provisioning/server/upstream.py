"""Mints tokens at the Gemini API through google-genai: the only module of the server that knows the SDK.

A token is valid for one session. It carries an explicit field mask, so that the device's own set-up applies to every
field that is not locked: without a mask the service takes the whole set-up from the token, and silently ignores a
resumption handle that the device sends.
"""

import asyncio
import logging
import warnings
from collections.abc import Mapping
from enum import Enum
from functools import lru_cache
from typing import Final

import httpx2
from google import genai
from google.genai import errors, types

from appliance.errors import ConfigurationError
from appliance.net.tls import client_context
from appliance.provisioning.common.protocol import ProblemCode
from appliance.provisioning.server.ports import MintSpec, UpstreamError
from appliance.provisioning.server.settings import ServerSettings

GOOGLE: Final = "https://generativelanguage.googleapis.com"
TOKEN_PREFIX: Final = "auth_tokens/"  # noqa: S105  not a token


class LockPolicy(Enum):
    """Who decides a field of the set-up."""

    BY_SERVER = "by server"
    """Locked if the device's policy has a value; the device decides otherwise."""
    ALWAYS_LOCKED = "always locked"
    """Never sent by our devices: locked without a value, so that a manipulated device cannot set it."""
    BY_DEVICE = "by device"
    """Never locked."""
    NEVER_SENT = "never sent"
    """Not part of a set-up for the Developer API."""


FIELDS: Final[Mapping[str, LockPolicy]] = {
    "speech_config": LockPolicy.BY_SERVER,
    "system_instruction": LockPolicy.BY_SERVER,
    # The handle and the detection of speech: locked, they would break resuming and the button.
    "session_resumption": LockPolicy.BY_DEVICE,
    "realtime_input_config": LockPolicy.BY_DEVICE,
    "response_modalities": LockPolicy.BY_SERVER,
    "temperature": LockPolicy.BY_DEVICE,
    "top_p": LockPolicy.BY_DEVICE,
    "top_k": LockPolicy.BY_DEVICE,
    "max_output_tokens": LockPolicy.BY_DEVICE,
    "media_resolution": LockPolicy.BY_DEVICE,
    "seed": LockPolicy.BY_DEVICE,
    "thinking_config": LockPolicy.BY_DEVICE,
    "enable_affective_dialog": LockPolicy.BY_DEVICE,
    # Locked if a policy allows no tools.
    "tools": LockPolicy.BY_DEVICE,
    "input_audio_transcription": LockPolicy.BY_DEVICE,
    "output_audio_transcription": LockPolicy.BY_DEVICE,
    "context_window_compression": LockPolicy.BY_DEVICE,
    "proactivity": LockPolicy.BY_DEVICE,
    "history_config": LockPolicy.BY_DEVICE,
    "avatar_config": LockPolicy.ALWAYS_LOCKED,
    "safety_settings": LockPolicy.ALWAYS_LOCKED,
    "translation_config": LockPolicy.ALWAYS_LOCKED,
    "labels": LockPolicy.ALWAYS_LOCKED,
    "http_options": LockPolicy.NEVER_SENT,
    "generation_config": LockPolicy.NEVER_SENT,
    "explicit_vad_signal": LockPolicy.NEVER_SENT,
}
"""Every field of the SDK's LiveConnectConfig; a test fails if the SDK has one that is missing here."""
ALWAYS_LOCKED: Final = ("avatarConfig", "safetySettings", "generationConfig.translationConfig", "labels")
"""The fields that are always locked, in the camelCase of a field mask. The SDK passes names through unchanged, also
``snake_case``, which the service would not accept."""


def token_config(spec: MintSpec) -> types.CreateAuthTokenConfig:
    """Return the request for a token.

    The SDK makes the mask from the fields that are set and ``lock_additional_fields``; with None there, its default, it
    would send no mask.
    """
    return types.CreateAuthTokenConfig(
        uses=1,
        new_session_expire_time=spec.new_session_expires_at,
        expire_time=spec.expires_at,
        live_connect_constraints=_constraints(spec.model, spec.voice, spec.language, spec.instruction),
        # Locked without a value, the field is empty whatever the device sends: no functions, no search.
        lock_additional_fields=[*ALWAYS_LOCKED, *(() if spec.has_tools else ("tools",))],
    )


@lru_cache(maxsize=256)
def _constraints(
    model: str, voice: str | None, language: str | None, instruction: str | None
) -> types.LiveConnectConstraints:
    """Return what a token locks: the same for all devices with one policy. Treat it as immutable."""
    return types.LiveConnectConstraints(
        model=model,
        config=types.LiveConnectConfig(
            response_modalities=[types.Modality.AUDIO],
            speech_config=_speech(voice, language),
            system_instruction=instruction,
        ),
    )


def _speech(name: str | None, language: str | None) -> types.SpeechConfig | None:
    if name is None and language is None:
        return None
    voice = types.PrebuiltVoiceConfig(voice_name=name) if name else None
    return types.SpeechConfig(
        voice_config=types.VoiceConfig(prebuilt_voice_config=voice) if voice else None,
        language_code=language,
    )


class GeminiUpstream:
    """Implements `ports.Upstream` with one API key.

    Raises:
        ConfigurationError: ``upstream.ca_file``, or a proxy or certificates of the environment, cannot be used.
    """

    def __init__(self, settings: ServerSettings, api_key: str) -> None:
        self._timeout_s = settings.upstream.timeout_s
        self._client = _client(settings, api_key)
        _silence_libraries()

    async def mint(self, spec: MintSpec) -> str:
        """Return the name of a new token, within ``upstream.timeout_s``; raises UpstreamError.

        The service's own error text is dropped: it sometimes quotes the key.
        """
        try:
            async with asyncio.timeout(self._timeout_s):
                token = await self._client.aio.auth_tokens.create(config=token_config(spec))
        except errors.APIError as error:
            raise UpstreamError(_code(error.code), f"the service answers {error.code} {error.status}") from None
        except (httpx2.RequestError, OSError) as error:
            raise UpstreamError(ProblemCode.UPSTREAM_UNAVAILABLE, f"no answer ({type(error).__name__})") from None
        except (ValueError, TypeError, AttributeError):
            raise UpstreamError(ProblemCode.UPSTREAM_UNAVAILABLE, "the answer cannot be read") from None
        name: str = token.name or ""
        if not name.startswith(TOKEN_PREFIX):
            raise UpstreamError(ProblemCode.UPSTREAM_UNAVAILABLE, "the answer holds no token")
        return name

    async def aclose(self) -> None:
        """Close connections."""
        await self._client.aio.aclose()
        self._client.close()


def _client(settings: ServerSettings, api_key: str) -> genai.Client:
    """Return the SDK's client, which takes nothing from the environment but a proxy."""
    tls = client_context(settings.upstream.ca_file, "upstream.ca_file")
    try:
        return genai.Client(
            # GOOGLE_GENAI_USE_VERTEXAI would choose another service, GOOGLE_GEMINI_BASE_URL send the key elsewhere.
            enterprise=False,
            api_key=api_key,
            http_options=types.HttpOptions(
                base_url=(settings.upstream.base_url or GOOGLE).rstrip("/"),
                api_version=settings.api_version,
                client_args={"verify": tls},
                async_client_args={"verify": tls},
            ),
        )
    except (ImportError, OSError, ValueError) as error:
        raise ConfigurationError(f"environment: a proxy or SSL_CERT_FILE cannot be used: {error}") from error


def _code(status: int | None) -> ProblemCode:
    if status == httpx2.codes.TOO_MANY_REQUESTS:
        return ProblemCode.UPSTREAM_QUOTA
    if status is not None and httpx2.codes.is_client_error(status):
        return ProblemCode.UPSTREAM_REJECTED
    return ProblemCode.UPSTREAM_UNAVAILABLE


def _silence_libraries() -> None:
    """Keep secrets out of the log, for the whole process, and silence the SDK's warning about an experimental API.

    Requests carry the key and answers the token; what these libraries log below WARNING is beyond our control.
    """
    for name in ("httpcore2", "httpx2", "google_genai"):
        logger = logging.getLogger(name)
        logger.setLevel(max(logger.level, logging.WARNING))
    warnings.filterwarnings("ignore", category=errors.ExperimentalWarning)
