"""`appliance say`, asked of a daemon's intercom over its real socket."""

import asyncio
import io
import socket
import sys
from pathlib import Path

import pytest

from appliance.cli import main as cli
from appliance.errors import ExitCode
from appliance.service.control_socket import MAX_TEXT, SOCKET, ControlSocket
from tests.cli.commands.control import no_status, serving

pytestmark = pytest.mark.realtime


def say(directory: Path, *words: str) -> int:
    return cli.run(["say", "--runtime", str(directory), *words])


async def test_what_is_said_arrives_as_one_text(tmp_path: Path):
    said: list[str] = []

    async with serving(tmp_path, said.append):
        result = await asyncio.to_thread(say, tmp_path, "What", "time is", "it? ")
    assert result == ExitCode.OK
    assert said == ["What time is it?"]


async def test_the_socket_is_gone_with_the_daemon_and_one_that_a_crash_has_left_is_replaced(tmp_path: Path):
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(tmp_path / SOCKET))

    async with asyncio.TaskGroup() as group:
        task = group.create_task(ControlSocket(tmp_path, lambda _: None, no_status).run())
        await asyncio.sleep(0.05)
        code = await asyncio.to_thread(say, tmp_path, "hello")
        task.cancel()
    assert code == ExitCode.OK
    assert not (tmp_path / SOCKET).exists()


async def test_the_daemon_goes_on_without_a_socket_where_none_can_be_created(tmp_path: Path):
    (tmp_path / SOCKET).mkdir()
    await ControlSocket(tmp_path, lambda _: None, no_status).run()
    await ControlSocket(tmp_path / "absent", lambda _: None, no_status).run()


async def test_what_cannot_be_done_now_is_one_line_with_its_reason(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    async with serving(tmp_path, lambda _: "the button is held"):
        result = await asyncio.to_thread(say, tmp_path, "hello")
    assert result == ExitCode.UNAVAILABLE
    assert capsys.readouterr().err == "appliance: error: the appliance cannot answer now: the button is held\n"


@pytest.mark.parametrize(
    "question", [b"", b"{", b'{"say": 7}', b'{"sing": "hello"}', b'{"show": "keys"}', b"x" * 40_000]
)
async def test_whatever_is_asked_is_answered_and_does_no_harm(tmp_path: Path, question: bytes):
    said: list[str] = []

    async with serving(tmp_path, said.append):
        reader, writer = await asyncio.open_unix_connection(tmp_path / SOCKET)
        writer.write(question)
        writer.write_eof()
        answer = await reader.read()
        writer.close()
        assert await asyncio.to_thread(say, tmp_path, "still there?") == ExitCode.OK
    assert b"different versions" in answer
    assert said == ["still there?"]


@pytest.mark.parametrize("words", [[" "], ["x" * (MAX_TEXT + 1)]])
def test_nothing_and_too_much_are_refused_before_anybody_is_asked(
    tmp_path: Path, words: list[str], capsys: pytest.CaptureFixture[str]
):
    assert say(tmp_path, *words) == ExitCode.DATA
    assert "there is no text" in capsys.readouterr().err


@pytest.mark.parametrize("given", [None, io.StringIO(" \n"), io.TextIOWrapper(io.BytesIO(b"\n"), encoding="ascii")])
def test_an_empty_or_closed_input_is_nothing_to_say(tmp_path: Path, monkeypatch, capsys, given):
    monkeypatch.setattr(sys, "stdin", given)
    assert say(tmp_path, "-") == ExitCode.DATA
    assert "there is no text" in capsys.readouterr().err


async def test_what_is_no_text_is_said_as_a_mark(tmp_path: Path, monkeypatch):
    said: list[str] = []
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"caf\xe9?"), encoding="utf-8", errors="strict"))

    async with serving(tmp_path, said.append):
        result = await asyncio.to_thread(say, tmp_path, "-")
    assert result == ExitCode.OK
    assert said == ["caf\N{REPLACEMENT CHARACTER}?"]


def test_an_input_that_cannot_be_read_is_one_line(tmp_path: Path, monkeypatch, capsys):
    with (tmp_path / "written").open("w", encoding="utf-8") as only_written:
        monkeypatch.setattr(sys, "stdin", only_written)
        assert say(tmp_path, "-") == ExitCode.NO_INPUT
    assert capsys.readouterr().err.count("\n") == 1


def test_without_a_daemon_it_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert say(tmp_path, "hello") == ExitCode.NO_INPUT
    assert "no appliance is running" in capsys.readouterr().err
    (tmp_path / SOCKET).touch()
    assert say(tmp_path, "hello") == ExitCode.UNAVAILABLE
    assert capsys.readouterr().err.count("\n") == 1
