"""The log: one structured event for everything that an operator should know.

An event has a stable dotted name, fields, and for the main ones a sentence and a journald MESSAGE_ID. Under systemd it
goes to the journal with ``APPLIANCE_EVENT`` and an ``APPLIANCE_<FIELD>`` for each field; elsewhere it is a line on
stderr. With `service.notify`, the only importer of ``systemd``.

Never logged: tokens, keys, audio, spoken words (the transcript only if the settings say so). Fields with such names are
refused, and everything that looks like a secret is cut out of every line, including those of other libraries and
tracebacks. Nothing here raises because of the content or the destination of a log line.
"""

import logging
import os
import re
import string
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import Final, Literal, TextIO

from appliance.config import schema as _settings
from appliance.text import visible

Level = Literal["debug", "info", "warning", "error"]

QUIET: Final = ("websockets", "httpx", "httpcore", "httpx2", "httpcore2", "google", "google_genai", "uvicorn.access")
"""Loggers that write tokens, or URLs with tokens, below WARNING: only WARNING and above is let through."""
REFUSED: Final = frozenset({"token", "key", "secret", "password", "audio", "pcm", "text", "transcript"})
"""A field is refused if one of these is a word of its name (``_`` between words)."""
TRANSCRIPT: Final = "transcript"
"""The only field for spoken words: logged as ``pii_transcript`` if the settings allow it."""
LONGEST: Final = 500
"""Characters of a field's value; the rest is cut off."""

_LEVELS: Final = MappingProxyType(
    {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
)
_PRIORITIES: Final = MappingProxyType(
    {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}
)
"""syslog(3) priorities."""
_SECRETS: Final = re.compile(
    r"""auth_tokens/[\w.~%+-]+
      | AIza[\w-]{10,}
      | \bva1\.[\w-]{20,}(?:\.[\w-]+)?
      | \bAQ\.[\w.-]{10,}
      | (?<=[?&])(?:key|access_token|token)=[^&\s"']+
      | \b(?:Bearer|Token)\s+[\w.~+/=-]{16,}
      | -----BEGIN[ ][A-Z ]*PRIVATE[ ]KEY-----.*?(?:-----END[ ][A-Z ]*PRIVATE[ ]KEY-----|\Z)""",
    re.VERBOSE | re.DOTALL,
)
_BREAKS: Final = str.maketrans({"\t": "\\x09", "\n": "\\x0a"})
"""Control characters that `visible` keeps."""
_STARTED: Final = time.monotonic()

_logger = logging.getLogger("appliance")
_bound: ContextVar[Mapping[str, object]] = ContextVar("bound", default=MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class Notable:
    """An event that operators search for: ``message_id`` never changes, ``sentence`` names fields in braces."""

    message_id: str
    sentence: str


NOTABLE: Final[Mapping[str, Notable]] = MappingProxyType(
    {
        "conversation.state": Notable("84e3b4a1bda54f80988df070c7ed4f67", "{state} (was {before}, {cause})"),
        "conversation.latency": Notable("eee901dbc86b42859638fda78921a335", "{latency} took {ms} ms"),
        "device.failed": Notable("e43a1f289423422ca72ce1f4f8d25113", "the {device} has failed: {reason}"),
        "device.back": Notable("0a02c29289694efd8c7ee20056297ca0", "the {device} works again"),
        "daemon.ready": Notable("fbd921f5a3724b929a2bf520c0207b53", "ready"),
        "wake.detected": Notable("6b9df2d354b949ec90ecf7e78c0c5b93", "{model} was heard, score {score}"),
        "echo.chosen": Notable("30d9f7c49fc64caa89b035a87b0df4d6", "aec = {aec}, barge_in = {barge_in}: {reason}"),
        "echo.changed": Notable("873f1f0610ac41ba8fe2e808f7ab8e58", "the echo canceller is {state}"),
        "link.failed": Notable("c607b89a3d4344338f69a43d0f2dd76d", "no link: {reason}"),
        "service.unmanaged": Notable(
            "7a26f90b3a714f48b43f60245e20ba7f", "systemd gets no notifications: {missing} is not installed"
        ),
        "service.watchdog-withheld": Notable("b584114bc18248b2824e9e18d7777409", "watchdog not fed; failing: {vitals}"),
        "service.watchdog-resumed": Notable("7cb780531faa43f7b7b3ee465440e8ce", "the watchdog is fed again"),
        "tool.failed": Notable("a3cf27ede6914fe0b18280f6b75b5f94", "the tool {tool} has failed: {error}"),
    }
)


def event(name: str, /, level: Level = "info", exc_info: BaseException | None = None, **fields: object) -> None:
    """Log an event, with the traceback of ``exc_info`` if given. From any thread.

    A field that is None, or that must not be logged, is left out.
    """
    if not _logger.isEnabledFor(_LEVELS[level]):
        return
    kept = _admission.admitted({**_bound.get(), **fields})
    message = f"{name} {_in_words(name, kept)}".rstrip()
    _logger.log(_LEVELS[level], message, exc_info=exc_info, stacklevel=2, extra={"event": name, "fields": kept})


@contextmanager
def bound(**fields: object) -> Iterator[None]:
    """Add fields to every event of this task, and of the tasks it starts, within the block."""
    token = _bound.set(MappingProxyType({**_bound.get(), **fields}))
    try:
        yield
    finally:
        _bound.reset(token)


def configure(
    settings: _settings.LogSettings, stream: TextIO | None = None, environ: Mapping[str, str] = os.environ
) -> "Lines | Journal":
    """Send all logs of the process to the journal if ``stream`` (stderr) is connected to it, else to ``stream``.

    A second call replaces the first set-up.
    """
    stream = sys.stderr if stream is None else stream
    _admission.transcripts = settings.transcripts
    handler = _journal(stream, environ) or Lines(stream)
    handler.addFilter(_is_loud_enough)
    root = logging.getLogger()
    for before in [before for before in root.handlers if isinstance(before, Lines | Journal)]:
        root.removeHandler(before)
    root.addHandler(handler)
    root.setLevel(_LEVELS[settings.level])
    for name in QUIET:
        logging.getLogger(name).setLevel(max(logging.WARNING, _LEVELS[settings.level]))
    return handler


def redacted(text: str) -> str:
    """Return ``text`` with everything that looks like a secret cut out."""
    return _SECRETS.sub("[secret]", text)


class _Admission:
    """Decides which fields may be logged."""

    def __init__(self) -> None:
        self.transcripts = False

    def admitted(self, fields: Mapping[str, object]) -> dict[str, str]:
        kept = {}
        for name, value in fields.items():
            if value is None:
                continue
            if name == TRANSCRIPT and self.transcripts:
                kept[f"pii_{name}"] = _as_text(value)
            elif REFUSED.isdisjoint(name.split("_")) and not _is_binary(value):
                kept[name] = _as_text(value)
        return kept


_admission = _Admission()


def _is_binary(value: object) -> bool:
    return isinstance(value, bytes | bytearray | memoryview) or hasattr(value, "__array_interface__")


def _as_text(value: object) -> str:
    """Return one short line without secrets or control characters."""
    if isinstance(value, Enum):
        value = value.value
    try:
        text = f"{type(value).__name__}: {value}" if isinstance(value, BaseException) else str(value)
    except Exception:  # noqa: BLE001  a value without a text must not stop the daemon
        text = f"<{type(value).__name__}>"
    return visible(redacted(text)).translate(_BREAKS)[:LONGEST]


def _in_words(name: str, fields: Mapping[str, str]) -> str:
    """Return the event's sentence, if it has one, and the fields that are not in it."""
    sentence = NOTABLE[name].sentence if name in NOTABLE else ""
    used = {field for _, field, _, _ in string.Formatter().parse(sentence) if field}
    if not used <= fields.keys():
        sentence, used = "", set()
    rest = [f"{field}={value}" for field, value in fields.items() if field not in used]
    return " ".join([sentence.format_map(fields), *rest]).strip()


def _is_loud_enough(record: logging.LogRecord) -> bool:
    """Suppress the quiet loggers below WARNING, whatever their level is set to."""
    quiet = any(record.name == name or record.name.startswith(f"{name}.") for name in QUIET)
    return record.levelno >= logging.WARNING or not quiet


class _Line(logging.Formatter):
    """``seconds since the start, level unless INFO, message``; for other libraries, their name before the message."""

    def format(self, record: logging.LogRecord) -> str:
        name = "" if hasattr(record, "event") else f"{record.name}: "
        level = "" if record.levelno == logging.INFO else f"{record.levelname} "
        return redacted(f"{time.monotonic() - _STARTED:.3f} {level}{name}{super().format(record)}")


class Lines(logging.StreamHandler[TextIO]):
    """Lines on a text stream; lines that cannot be written are counted."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self.lost = 0
        self.setFormatter(_Line())

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: ARG002, N802  the name is logging's
        """Count it."""
        self.lost += 1


class Journal(logging.Handler):
    """Entries in the journal, sent by ``systemd.journal.send``; those that cannot be sent are counted."""

    def __init__(self, send: Callable[..., object]) -> None:
        super().__init__()
        self.lost = 0
        self._send = send
        self.setFormatter(logging.Formatter())

    def emit(self, record: logging.LogRecord) -> None:
        """Send one entry."""
        try:
            self._send(redacted(self.format(record)), **_journal_fields(record))
        except Exception:  # noqa: BLE001  as logging has it: handlers do not raise
            self.handleError(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: ARG002, N802  the name is logging's
        """Count it."""
        self.lost += 1


def _journal_fields(record: logging.LogRecord) -> dict[str, str | int]:
    """Return the fields of systemd.journal-fields(7), and our own."""
    name: str = getattr(record, "event", "")
    own: dict[str, str] = getattr(record, "fields", {})
    fields: dict[str, str | int] = {f"APPLIANCE_{field.upper()}": value for field, value in own.items()}
    if name:
        fields["APPLIANCE_EVENT"] = name
    if name in NOTABLE:
        fields["MESSAGE_ID"] = NOTABLE[name].message_id
    return fields | {
        "PRIORITY": str(_PRIORITIES.get(record.levelno, 6)),
        "SYSLOG_IDENTIFIER": "appliance",
        "LOGGER": record.name,
        "CODE_FILE": record.pathname,
        "CODE_LINE": record.lineno,
        "CODE_FUNC": record.funcName or "",
    }


def _journal(stream: TextIO | None, environ: Mapping[str, str]) -> Journal | None:
    """Return the journal's handler if systemd has connected ``stream`` to the journal (systemd.exec(5))."""
    if stream is None:  # the process was started without stderr
        return None
    try:
        status = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return None
    if environ.get("JOURNAL_STREAM") != f"{status.st_dev}:{status.st_ino}":
        return None
    try:
        from systemd.journal import send  # noqa: PLC0415  absent on a laptop
    except ImportError:
        return None
    return Journal(send)
