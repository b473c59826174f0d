"""The log: structured, quiet about secrets, and never a reason to fail."""

import asyncio
import io
import logging
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import UUID

import pytest

from appliance import log
from appliance.config.schema import LogSettings
from appliance.core.state import State

SECRETS = {
    "token": "auth_tokens/0a1b2c3d4e5f",
    "key": "AIzaSyA-0123456789abcdefghijklmnopqrstu",
    "join": f"va1.{'Ab_-' * 20}.x1Yz",
    "new key": "AQ.Ab8RN6K0123456789-abc_def",
    "query": "wss://example.org/ws?access_token=s3cr3ts3cr3t&x=1",
    "header": "Authorization: Token 0123456789abcdef0123",
    "private key": "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2Vw\n-----END PRIVATE KEY-----",
    "cut key": "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXk",
}
GIVEAWAYS = re.compile(r"0a1b2c3d|SyA-0123|Ab8RN6K|s3cr3t|0123456789abcdef0123|MC4CAQAw|b3BlbnNz|b_-Ab")

Configure = Callable[..., log.Lines | log.Journal]


@pytest.fixture
def configure() -> Iterator[Configure]:
    """Configure logging, and undo it after the test."""
    loggers = [logging.getLogger(name) for name in (None, *log.QUIET)]
    levels = [logger.level for logger in loggers]
    yield log.configure
    logging.getLogger().removeHandler(log.configure(LogSettings(), io.StringIO(), {}))
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)


@pytest.fixture
def stream(configure: Configure) -> io.StringIO:
    """Where everything is logged, from DEBUG on."""
    stream = io.StringIO()
    configure(LogSettings(level="debug"), stream, {})
    return stream


def test_an_event_is_a_line_with_the_time_its_name_and_its_fields(stream: io.StringIO):
    log.event("link.opened", link=3, ms=812.5, state=State.LISTENING, handle=None)
    assert re.fullmatch(r"\d+\.\d{3} link\.opened link=3 ms=812\.5 state=listening\n", stream.getvalue())


def test_a_notable_event_is_a_sentence_and_what_is_not_in_it_follows(stream: io.StringIO):
    log.event("conversation.state", state="listening", before="connecting", cause="LinkOpened", link=3)
    assert stream.getvalue().split(" ", 1)[1] == ("conversation.state listening (was connecting, LinkOpened) link=3\n")


def test_a_sentence_without_all_its_fields_falls_back_to_the_fields(stream: io.StringIO):
    log.event("conversation.state", state="listening")
    assert stream.getvalue().split(" ", 1)[1] == "conversation.state state=listening\n"


def test_the_level_is_told_unless_it_is_info_and_the_settings_say_which_are_written(configure: Configure):
    stream = io.StringIO()
    configure(LogSettings(level="warning"), stream, {})
    log.event("a.info")
    log.event("a.warning", level="warning")
    log.event("an.error", level="error")
    assert [line.split(" ", 1)[1] for line in stream.getvalue().splitlines()] == ["WARNING a.warning", "ERROR an.error"]


def test_every_notable_event_has_an_id_of_its_own():
    ids = {UUID(hex=notable.message_id) for notable in log.NOTABLE.values()}
    assert len(ids) == len(log.NOTABLE)


def test_every_notable_event_is_logged_somewhere():
    package = Path(log.__file__).parent
    sources = "".join(path.read_text() for path in package.rglob("*.py") if path.name != "log.py")
    assert [name for name in log.NOTABLE if f'"{name}"' not in sources] == []


def raised(text: str) -> RuntimeError:
    """Return an exception that has a traceback, and another one as its cause."""
    cause = ValueError(text)
    try:
        raise RuntimeError(text) from cause  # noqa: TRY301  that is the point
    except RuntimeError as error:
        return error


LEVELS: tuple[log.Level, ...] = ("debug", "info", "warning", "error")


def test_no_secret_is_written_at_any_level_by_anyone(stream: io.StringIO):
    for secret in SECRETS.values():
        for level in LEVELS:
            log.event("some.event", level=level, reason=f"refused: {secret}", cause=ValueError(secret))
            log.event("some.failure", level=level, exc_info=raised(secret))
            logging.getLogger("other.library").log(getattr(logging, level.upper()), "sent %s", secret)
    written = stream.getvalue()
    assert not GIVEAWAYS.search(written)
    assert written.count("[secret]") >= len(SECRETS) * len(LEVELS) * 3
    assert "Traceback" in written


def test_what_is_no_secret_stays(stream: io.StringIO):
    harmless = "AQ.1 at https://example.org/auth_tokens and Token refused, monkey=1 total_tokens=12"
    log.event("some.event", reason=harmless, total_tokens=12)
    assert harmless in stream.getvalue()
    assert "total_tokens=12" in stream.getvalue()


def test_fields_named_like_a_secret_or_holding_binary_data_are_left_out(stream: io.StringIO):
    log.event("some.event", device_key="x", token="x", audio="x", text="x", transcript="x", blob=b"x", state="idle")
    assert stream.getvalue().split(" ", 1)[1] == "some.event state=idle\n"


def test_a_transcript_is_written_only_where_the_settings_say_so(configure: Configure):
    stream = io.StringIO()
    configure(LogSettings(transcripts=True), stream, {})
    log.event("conversation.heard", transcript="what time is it", text="what time is it")
    assert stream.getvalue().split(" ", 1)[1] == "conversation.heard pii_transcript=what time is it\n"


def test_libraries_that_log_tokens_are_silent_below_warning_whatever_level_they_set(
    stream: io.StringIO, monkeypatch: pytest.MonkeyPatch
):
    for name in (*log.QUIET, "websockets.client", "google_genai.live"):
        logger = logging.getLogger(name)
        monkeypatch.setattr(logger, "propagate", True)  # uvicorn switches it off for its own
        before = logger.level
        logger.setLevel(logging.DEBUG)
        logger.debug("frame")
        logger.info("GET /")
        logger.warning("audible %s", name)
        logger.setLevel(before)
    lines = stream.getvalue().splitlines()
    assert len(lines) == len(log.QUIET) + 2
    assert all("audible" in line for line in lines)


def test_a_value_cannot_forge_a_line(stream: io.StringIO):
    log.event("some.event", reason="ends\n0.000 service.ready\x1b[2J")
    assert stream.getvalue().count("\n") == 1
    assert r"ends\x0a0.000 service.ready\x1b[2J" in stream.getvalue()


def test_a_long_value_is_cut(stream: io.StringIO):
    log.event("some.event", reason="x" * 10_000)
    assert len(stream.getvalue()) < log.LONGEST + 50


async def test_bound_fields_follow_a_task_and_those_that_it_starts(stream: io.StringIO):
    async def later() -> None:
        log.event("later")

    with log.bound(conversation=7):
        async with asyncio.TaskGroup() as group:
            group.create_task(later())
        with log.bound(link=2):
            log.event("inner")
    log.event("outer")
    assert [line.split(" ", 1)[1] for line in stream.getvalue().splitlines() if "asyncio" not in line] == [
        "later conversation=7",
        "inner conversation=7 link=2",
        "outer",
    ]


def record(message: str, *arguments: object) -> logging.LogRecord:
    return logging.LogRecord("other", logging.WARNING, __file__, 1, message, arguments, None)


class Unspeakable:
    def __str__(self) -> str:
        raise RuntimeError


def test_nothing_that_is_logged_and_no_stream_makes_it_raise(configure: Configure):
    stream = io.StringIO()
    handler = configure(LogSettings(), stream, {})
    log.event("some.event", value=Unspeakable())
    assert "value=<Unspeakable>" in stream.getvalue()
    stream.close()
    log.event("some.event")
    handler.handle(record("%d", "no number"))
    assert handler.lost == 2


def test_configuring_again_replaces_what_was_there(configure: Configure):
    first, second = io.StringIO(), io.StringIO()
    configure(LogSettings(), first, {})
    configure(LogSettings(), second, {})
    log.event("some.event")
    assert (first.getvalue(), second.getvalue().count("\n")) == ("", 1)


def journal_stream(path: Path) -> str:
    return f"{path.stat().st_dev}:{path.stat().st_ino}"


def test_under_systemd_it_goes_to_the_journal_and_elsewhere_to_the_stream(configure: Configure, tmp_path: Path):
    file = tmp_path / "stderr"
    with file.open("w") as stream:
        kinds = [
            type(configure(LogSettings(), stream, environ)).__name__
            for environ in ({"JOURNAL_STREAM": journal_stream(file)}, {"JOURNAL_STREAM": "1:2"}, {})
        ]
    assert kinds == ["Journal", "Lines", "Lines"]


class Receiver:
    """Stands for systemd.journal.send."""

    def __init__(self) -> None:
        self.entries: list[dict[str, object]] = []

    def __call__(self, message: str, **fields: object) -> None:
        self.entries.append({"MESSAGE": message, **fields})


@pytest.fixture
def journal(configure: Configure) -> Receiver:
    journal = Receiver()
    stream_handler = configure(LogSettings(level="debug"), io.StringIO(), {})
    handler = log.Journal(journal)
    for found in stream_handler.filters:
        handler.addFilter(found)
    logging.getLogger().removeHandler(stream_handler)
    logging.getLogger().addHandler(handler)
    return journal


def test_a_journal_entry_has_our_fields_systemds_fields_and_the_id(journal: Receiver):
    log.event("device.failed", level="error", device="microphone", reason="gone: auth_tokens/0a1b2c")
    (entry,) = journal.entries
    assert isinstance(entry.pop("CODE_LINE"), int)
    assert entry == {
        "MESSAGE": "device.failed the microphone has failed: gone: [secret]",
        "MESSAGE_ID": log.NOTABLE["device.failed"].message_id,
        "PRIORITY": "3",
        "SYSLOG_IDENTIFIER": "appliance",
        "LOGGER": "appliance",
        "CODE_FILE": __file__,
        "CODE_FUNC": "test_a_journal_entry_has_our_fields_systemds_fields_and_the_id",
        "APPLIANCE_EVENT": "device.failed",
        "APPLIANCE_DEVICE": "microphone",
        "APPLIANCE_REASON": "gone: [secret]",
    }


def test_no_secret_reaches_the_journal(journal: Receiver):
    for secret in SECRETS.values():
        logging.getLogger("other.library").warning("sent %s", secret)
        log.event("some.failure", level="error", exc_info=raised(secret), reason=secret)
    assert len(journal.entries) == 2 * len(SECRETS)
    assert not GIVEAWAYS.search(repr(journal.entries))


def test_a_journal_that_is_gone_is_counted(configure: Configure):
    def fails(message: str, **fields: object) -> None:
        raise OSError(message)

    handler = log.Journal(fails)
    handler.handle(record("some.event"))
    assert handler.lost == 1


PROGRAM = """
import logging
from contextlib import suppress
from systemd.journal import send
from appliance import log

def strict(message, **fields):
    with suppress(OSError):  # there may be no journal
        send(message, **fields)

handler = log.Journal(strict)
logging.getLogger().addHandler(handler)
logging.getLogger().setLevel(logging.DEBUG)
log.event("conversation.latency", latency="wake_to_light", ms=12.0)
logging.getLogger("other").warning("%d", 1)
print(handler.lost)
"""


def test_the_real_journal_library_takes_the_fields():
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("0\n", "")


def test_a_process_without_stderr_goes_on(configure: Configure, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("sys.stderr", None)
    handler = configure(LogSettings(), None, {})
    log.event("daemon.ready")
    assert handler.lost == 1


def test_quiet_libraries_are_no_louder_than_the_rest(configure: Configure, stream: io.StringIO):
    configure(LogSettings(level="error"), stream, {})
    for name in log.QUIET:
        logging.getLogger(name).warning("a retry")
    assert stream.getvalue() == ""
