"""The whole installation on a machine in a folder: what it does, what it leaves alone, and how it fails."""

import fcntl
import io
import json
import os
import pty
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from appliance.errors import ExitCode
from appliance.install.command import LOCK, install, main, parser
from appliance.install.machine import LOG
from appliance.install.release import Release
from appliance.install.step import StepFailed
from tests.install.machine import JOIN, FakeMachine, words

pytestmark = pytest.mark.realtime


def test_a_fresh_machine_gets_everything(fresh: FakeMachine, capsys):
    assert fresh.install() == ExitCode.OK
    release = fresh.root / "opt/voice-appliance" / fresh.current()
    assert (release / "bin/appliance").is_file()
    assert json.loads((release / "release.json").read_text())["version"] in fresh.current()
    assert json.loads((release / "share/sbom.cdx.json").read_text())["bomFormat"] == "CycloneDX"
    assert (fresh.root / "etc/systemd/system/appliance.service").read_bytes() == (
        fresh.source / "systemd/appliance.service"
    ).read_bytes()
    assert (fresh.root / "etc/voice-appliance/appliance.toml").is_file()
    assert str((fresh.root / "usr/local/bin/appliance").readlink()) == "/opt/voice-appliance/current/bin/appliance"
    assert fresh.has("enabled")
    assert (fresh.fakes / "active").read_text().strip() == fresh.current()
    shown = words(capsys.readouterr().out)
    assert "machine as it was" in shown
    assert "enrolment done waiting for approval" in shown
    assert "token ok so it is" in shown
    assert shown.endswith(" Installed.")


def test_the_pages_for_the_household_and_the_installer_come_with_the_release(fresh: FakeMachine):
    assert fresh.install() == ExitCode.OK
    unit = (fresh.root / "etc/systemd/system/appliance.service").read_text()
    (line,) = (line for line in unit.splitlines() if line.startswith("Documentation="))
    pages = [Path(page.removeprefix("file:///")) for page in line.removeprefix("Documentation=").split()]
    assert [page.name for page in pages] == ["using.md", "installing.md"]
    assert all((fresh.root / page).is_file() for page in pages)


def test_a_program_of_another_with_this_name_stays(fresh: FakeMachine):
    other = fresh.root / "usr/local/bin/appliance"
    other.parent.mkdir(parents=True)
    other.write_text("mine")
    assert fresh.install() == ExitCode.OK
    assert other.read_text() == "mine"


def test_the_join_string_goes_through_a_pipe_and_is_nowhere_else(fresh: FakeMachine, capsys):
    fresh.install()
    assert (fresh.fakes / "joined").read_text().strip() == JOIN
    assert not [line for line in fresh.commands() if JOIN[4:20] in line]
    assert not [file for file in fresh.root.rglob("*") if file.is_file() and JOIN[4:20] in file.read_text("latin-1")]
    assert JOIN[4:20] not in "".join(capsys.readouterr())


def test_the_log_is_for_root_alone(fresh: FakeMachine):
    fresh.install()
    assert (fresh.machine.at(LOG).stat().st_mode & 0o777) == 0o600


def test_a_second_run_changes_nothing_and_says_so(installed: FakeMachine, capsys):
    before = installed.fingerprint()
    assert installed.install() == ExitCode.OK
    assert installed.fingerprint() == before
    assert installed.changes() == []
    assert "Nothing to do" in capsys.readouterr().out


def test_a_dry_run_tells_and_changes_nothing(fresh: FakeMachine, capsys):
    before = fresh.fingerprint()
    assert fresh.install(dry_run=True) == ExitCode.OK
    assert fresh.fingerprint() == before
    assert not fresh.machine.at(LOG).exists()
    assert fresh.changes() == []
    shown = words(capsys.readouterr().out)
    assert "packages to do install with apt: libportaudio2, python3-systemd" in shown
    assert "enrol with the join string" in shown


FAILURES = [
    ("apt-fails", "", ExitCode.UNAVAILABLE, "packages: apt-get failed (is the network up?): E: Unable to fetch"),
    ("apt-is-full", "", ExitCode.CANNOT_WRITE, "the disk is full"),
    ("uv-fails", "", ExitCode.UNAVAILABLE, "release: uv failed (is the network up?): error: Failed to fetch"),
    ("altered-model", "", ExitCode.DATA, "release: the release is incomplete: alexa_v0.1.onnx is altered"),
    ("enrol-fails", "77", ExitCode.REFUSED, "enrolment: no luck"),
    ("enrol-fails", "99", ExitCode.BUG, "enrolment: no luck"),
    ("selftest-breaks", "", ExitCode.BUG, "self-test: a bug"),
    (
        "does-not-start",
        "releases",
        ExitCode.CONFIGURATION,
        "service: the daemon does not start: live.voce: there is no such setting; see journalctl",
    ),
]


@pytest.mark.parametrize(("fault", "how", "code", "says"), FAILURES)
def test_what_fails_is_one_line_and_nothing_runs(fresh: FakeMachine, capsys, fault, how, code, says):
    fresh.file(fault, how)
    assert fresh.install() == code
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1
    assert not fresh.has("active")
    assert not fresh.has("enabled")
    assert not (fresh.root / "opt/voice-appliance/current").is_symlink()
    assert not (fresh.root / "etc/systemd/system/appliance.service").exists()
    assert not (fresh.root / "usr/local/bin/appliance").is_symlink()


@pytest.mark.parametrize(("fault", "how"), [("apt-fails", ""), ("apt-is-full", "")])
def test_packages_that_came_before_the_failure_go_again(fresh: FakeMachine, fault, how):
    before = (fresh.fakes / "packages").read_text()
    fresh.file(fault, how)
    fresh.install()
    assert (fresh.fakes / "packages").read_text() == before


@pytest.mark.parametrize("fault", ["uv-fails", "altered-model"])
def test_half_a_release_does_not_stay(fresh: FakeMachine, fault):
    fresh.file(fault)
    fresh.install()
    assert list((fresh.root / "opt/voice-appliance/releases").glob("*")) == []
    assert not (fresh.root / "opt/voice-appliance/.making").exists()


@pytest.mark.parametrize(("fault", "how"), [("uv-fails", ""), ("selftest-breaks", ""), ("does-not-start", "new")])
def test_a_new_release_that_fails_leaves_the_old_one_running(installed: FakeMachine, fault, how):
    old = installed.current()
    unit = (installed.root / "etc/systemd/system/appliance.service").read_bytes()
    (installed.source / "systemd/appliance.service").write_text("[Service]\n")
    new = _next(installed)
    installed.file(fault, new if how else "")
    assert installed.install() != ExitCode.OK
    assert installed.current() == old
    assert (installed.fakes / "active").exists()
    assert installed.has("enabled")
    assert (installed.root / "etc/systemd/system/appliance.service").read_bytes() == unit


def _next(machine: FakeMachine) -> str:
    """Make another edition; return the version that it will have."""
    machine.edition("next")
    return Release(machine.machine, machine.source, sys.version_info[:2]).version


def test_a_new_release_takes_the_place_of_the_old_one_which_is_kept(installed: FakeMachine):
    kept = [installed.current()]
    for edition in ("second", "third"):
        installed.edition(edition)
        assert installed.install() == ExitCode.OK
        kept.append(installed.current())
        assert (installed.fakes / "active").read_text().strip() == installed.current()
    there = {f"releases/{folder.name}" for folder in (installed.root / "opt/voice-appliance/releases").iterdir()}
    assert there == set(kept[1:])


def test_a_release_that_did_not_start_takes_no_place_from_one_that_did(installed: FakeMachine):
    good = installed.current()
    installed.file("does-not-start", _next(installed))
    assert installed.install() == ExitCode.CONFIGURATION
    installed.file("does-not-start", "none")
    installed.edition("third")
    assert installed.install() == ExitCode.OK
    there = {f"releases/{folder.name}" for folder in (installed.root / "opt/voice-appliance/releases").iterdir()}
    assert there == {good, installed.current()}


def test_a_daemon_that_says_nothing_is_told_in_systemds_words(fresh: FakeMachine, capsys):
    fresh.file("is-mute")
    fresh.file("does-not-start", "releases")
    fresh.install()
    assert "does not start: appliance.service: Failed with result exit-code.; see journalctl" in capsys.readouterr().err


def test_what_root_runs_of_a_release_reports_nothing_to_anybody(fresh: FakeMachine):
    fresh.install()
    assert (fresh.fakes / "no-telemetry").read_text() == "1\n"


def test_a_join_string_that_is_an_argument_is_not_repeated(fresh: FakeMachine, capsys):
    with pytest.raises(SystemExit):
        parser().parse_args([JOIN])
    with pytest.raises(StepFailed) as caught:
        fresh.install(join=Path(JOIN))
    for said in (capsys.readouterr().err, str(caught.value)):
        assert "va1.…" in said
        assert JOIN[4:20] not in said


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_cursor_is_there_again_when_a_signal_ends_it(fresh: FakeMachine, number):
    """On a true terminal, while a command of a step runs."""
    (fresh.fakes / "bin/systemd-sysusers").write_text(f"#!/bin/sh\n: >{fresh.fakes}/waits\nsleep 30\n")
    ours, theirs = pty.openpty()
    program = f"""
import sys
from pathlib import Path
from appliance.install import command
from appliance.install.machine import Machine
command.Machine = lambda *_: Machine(Path({str(fresh.root)!r}), {fresh.machine.path!r})
command.SOURCE = Path({str(fresh.source)!r})
command.os.geteuid = lambda: 0
command.install.__defaults__ = (command.SOURCE,)
sys.exit(command.main(["--join-file", {str(fresh.file("join", JOIN))!r}]))
"""
    with os.fdopen(ours, "rb", buffering=0) as screen:
        process = subprocess.Popen(
            [sys.executable, "-c", program], stdout=theirs, stderr=theirs, env={**os.environ, "TERM": "xterm"}
        )
        os.close(theirs)
        shown = b""
        while not fresh.has("waits") or b"\x1b[?25l" not in shown:
            shown += screen.read(4096)
        process.send_signal(number)
        with suppress(OSError):  # Linux says so at the end of a terminal
            while more := screen.read(4096):
                shown += more
        assert process.wait(10) == 128 + number
    assert shown.rindex(b"\x1b[?25h") > shown.rindex(b"\x1b[?25l")


def test_a_problem_that_the_self_test_finds_is_told_and_tested_again(fresh: FakeMachine, capsys):
    fresh.finds(microphone="problem", token="ok")
    assert fresh.install() == ExitCode.UNFIT
    assert fresh.has("active")
    assert "microphone problem" in words(capsys.readouterr().out)
    fresh.finds(microphone="ok", token="ok")
    fresh.commands()
    assert fresh.install() == ExitCode.OK
    ran = [" ".join(line.split()[:2]) for line in fresh.changes()]
    assert ran[0] == "systemctl stop"
    assert "appliance selftest" in ran
    assert ran[-1] == "systemctl start"
    assert fresh.has("active")
    assert fresh.install() == ExitCode.OK
    assert fresh.changes() == []


def test_how_well_it_can_be_interrupted_is_measured_and_told(fresh: FakeMachine, capsys):
    assert fresh.install() == ExitCode.OK
    out = words(capsys.readouterr().out)
    assert "speak from 1 m (turn it away)" in out
    assert "quiet" not in out
    (ran,) = (line for line in fresh.commands() if line.startswith("appliance doctor"))
    assert "--loop --json" in ran


def test_a_loop_that_cannot_be_measured_fails_nothing(fresh: FakeMachine, capsys):
    fresh.file("loop-fails", "")
    assert fresh.install() == ExitCode.OK
    assert "not measured: no sound" in words(capsys.readouterr().out)


def test_a_card_that_does_not_open_is_not_measured(fresh: FakeMachine):
    fresh.finds(speaker="problem")
    assert fresh.install() == ExitCode.UNFIT
    assert not [line for line in fresh.commands() if line.startswith("appliance doctor")]


def test_an_image_is_installed_without_a_join_string_and_starts_nothing(fresh: FakeMachine, capsys):
    (fresh.root / "run/systemd/system").rmdir()
    code = install(fresh.machine, None, fresh.source, start_now=False)
    assert code == ExitCode.OK
    assert fresh.has("enabled")
    assert not fresh.has("active")
    assert "enrolment later" in words(capsys.readouterr().out)
    assert not [line for line in fresh.commands() if line.startswith(("appliance", "systemctl restart"))]


def test_an_enrolled_device_needs_no_join_string(installed: FakeMachine):
    assert install(installed.machine, None, installed.source) == ExitCode.OK


@pytest.mark.parametrize(
    ("content", "code", "says"),
    [
        (None, ExitCode.NO_INPUT, "No such file"),
        ("", ExitCode.DATA, "not a join string"),
        ("hello", ExitCode.DATA, "from va1. to the end"),
        (JOIN[:20] + "x" + JOIN[21:], ExitCode.DATA, "damaged"),
        ("va1." + "x" * 5000, ExitCode.DATA, "not a join string"),
        ("va1.ä", ExitCode.DATA, "not a join string"),
    ],
)
def test_a_file_without_a_join_string_is_told_before_anything_is_done(fresh: FakeMachine, content, code, says):
    file = fresh.fakes / "nothing" if content is None else fresh.file("join", content)
    with pytest.raises(StepFailed, match=says) as caught:
        fresh.install(join=file)
    assert caught.value.exit_code == code
    assert fresh.commands() == []


def test_without_a_person_to_ask_the_join_file_is_asked_for(fresh: FakeMachine):
    with pytest.raises(StepFailed, match="--join-file") as caught:
        install(fresh.machine, None, fresh.source)
    assert caught.value.exit_code == ExitCode.USAGE


class Terminal(io.StringIO):
    """A person, who types nothing."""

    def isatty(self) -> bool:
        return True


def piped(content: bytes) -> io.TextIOWrapper:
    """Return what comes by the standard input."""
    return io.TextIOWrapper(io.BytesIO(content), encoding="utf-8")


@pytest.mark.parametrize("content", [b"hello", b"", b"\xff\xfe", b"va1.\xc3\xa4"])
def test_what_comes_by_the_standard_input_may_be_anything(fresh: FakeMachine, monkeypatch, content):
    monkeypatch.setattr(sys, "stdin", piped(content))
    with pytest.raises(StepFailed, match="not a join string") as caught:
        fresh.install(join=Path("-"))
    assert caught.value.exit_code == ExitCode.DATA


def test_the_join_string_may_come_by_the_standard_input(fresh: FakeMachine, monkeypatch):
    monkeypatch.setattr(sys, "stdin", piped(f"  {JOIN}\n".encode()))
    assert fresh.install(join=Path("-")) == ExitCode.OK
    assert (fresh.fakes / "joined").read_text().strip() == JOIN


def test_who_is_asked_and_types_the_end_of_file_has_given_none(fresh: FakeMachine, monkeypatch):
    def nothing(prompt: str) -> str:
        raise EOFError

    monkeypatch.setattr(sys, "stdin", Terminal())
    monkeypatch.setattr("appliance.install.command.getpass", nothing)
    with pytest.raises(StepFailed, match="no join string was entered") as caught:
        install(fresh.machine, None, fresh.source)
    assert caught.value.exit_code == ExitCode.USAGE
    assert fresh.commands() == []


def test_two_installations_do_not_run_at_once(fresh: FakeMachine):
    with fresh.machine.at(LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(StepFailed, match="another installation is running") as caught:
            fresh.install()
    assert caught.value.exit_code == ExitCode.UNFIT


def test_the_help_names_every_exit_code(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    shown = capsys.readouterr().out
    for code in (0, 1, 2, 4, 65, 66, 69, 73, 77, 78):
        assert f"\n  {code:3}  " in shown
