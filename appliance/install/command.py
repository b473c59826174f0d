"""The command line of the installation, which `scripts/provision` runs once there is a Python for it."""

import argparse
import fcntl
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext, suppress
from getpass import getpass
from pathlib import Path
from typing import Final, NoReturn

from appliance.errors import ExitCode
from appliance.install import engine
from appliance.install.account import Account
from appliance.install.defaults import Defaults
from appliance.install.enrolment import MAX_JOIN_BYTES, Enrolment, read_join
from appliance.install.machine import Machine
from appliance.install.packages import Packages
from appliance.install.pins import Pins
from appliance.install.preconditions import NEEDED_MB, Facts, Preconditions
from appliance.install.release import Cleanup, Release
from appliance.install.self_test import SelfTest
from appliance.install.service import Service
from appliance.install.show import display
from appliance.install.step import Step, StepFailed
from appliance.provisioning.common.join_string import redact_join_strings
from appliance.text import decoded

SOURCE: Final = Path(__file__).resolve().parents[2]
"""The checkout or unpacked archive with this file."""
LOCK: Final = "/run/voice-appliance-provision.lock"
PATH: Final = f"{Path(sys.executable).parent}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
CODES: Final = {
    ExitCode.OK: "installed, or nothing to do",
    ExitCode.BUG: "a bug, or the daemon does not start",
    ExitCode.USAGE: "wrong usage; not root",
    ExitCode.UNFIT: "this machine is not suitable or busy with another installation, or the self-test found a problem",
    ExitCode.DATA: "the join string or a downloaded file is damaged",
    ExitCode.NO_INPUT: "the file with the join string cannot be read",
    ExitCode.UNAVAILABLE: "packages could not be fetched, or the provisioning server does not answer",
    ExitCode.CANNOT_WRITE: "the disk is full, or cannot be written",
    ExitCode.REFUSED: "the provisioning server refuses this device",
    ExitCode.CONFIGURATION: "a setting is wrong",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Install, and return the exit code."""
    options = parser().parse_args(arguments)
    if not options.dry_run and os.geteuid() != 0:
        return _print_error("only root can install: use sudo; --dry-run needs no root", ExitCode.USAGE)
    signal.signal(signal.SIGTERM, _stop)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as under nohup
        signal.signal(signal.SIGHUP, _stop)  # the terminal is closed, or the connection to it is lost
    machine = Machine(Path("/"), PATH)
    try:
        return install(machine, options.join_file, dry_run=options.dry_run, start_now=not options.no_start)
    except StepFailed as error:
        return _print_error(str(error), error.exit_code)
    except KeyboardInterrupt:
        return _print_error("stopped by Ctrl-C; the unfinished step was undone", 130)


def install(
    machine: Machine, join_file: Path | None, source: Path = SOURCE, *, dry_run: bool = False, start_now: bool = True
) -> int:
    """Run all steps and show the report; return the exit code.

    Raises:
        StepFailed: It cannot begin.
    """
    with _locked(machine, dry_run=dry_run), closing(display()) as shown:
        report = engine.run(
            steps(machine, join_file, source, dry_run=dry_run, start_now=start_now), shown, dry_run=dry_run
        )
        shown.report(report, dry_run=dry_run)
    failed = next((line for line in report.lines if line.result is engine.Result.FAILED), None)
    if failed is not None:
        _print_error(f"{failed.name}: {failed.text}", report.exit_code)
    return report.exit_code


def steps(machine: Machine, join_file: Path | None, source: Path, *, dry_run: bool, start_now: bool) -> Sequence[Step]:
    """Return the steps in order; asks for the join string where a person can answer.

    Raises:
        StepFailed: The join string is needed and missing, or malformed.
    """
    facts = Facts.of(machine, source)
    release = Release(machine, source, facts.python)
    join = None if join_file is None else read_join_file(join_file)
    enrolled = Enrolment(machine, release.appliance, None, start_now=start_now).is_enrolled()
    if join is None and start_now and not dry_run and not enrolled:
        join = _ask_for_join_string()
    packages = Packages(machine, facts.python)
    return (
        Preconditions(machine, facts, 0 if release.is_complete() else NEEDED_MB, start_now=start_now),
        Pins(machine, packages),
        packages,
        Account(machine, source),
        release,
        Defaults(machine, source),
        Enrolment(machine, release.appliance, join, start_now=start_now),
        SelfTest(machine, release, start_now=start_now),
        Service(machine, source, release, start_now=start_now),
        Cleanup(machine, release),
    )


def read_join_file(file: Path) -> str:
    """Read the join string from a file (``-``: standard input); raises StepFailed."""
    try:
        with nullcontext(sys.stdin.buffer) if file == Path("-") else file.open("rb") as stream:
            return read_join(decoded(stream.read(MAX_JOIN_BYTES + 1)))
    except OSError as error:
        raise StepFailed(redact_join_strings(f"--join-file {file}: {error.strerror}"), ExitCode.NO_INPUT) from error


def _ask_for_join_string() -> str:
    """Ask for the join string without echoing it; raises StepFailed where nobody can answer."""
    if not sys.stdin.isatty():
        raise StepFailed(
            "a join string is needed: write it to a file that only you can read, and pass --join-file FILE",
            ExitCode.USAGE,
        )
    try:
        return read_join(getpass("Join string (it is not shown): "))
    except EOFError:
        raise StepFailed("no join string was entered; nothing was changed", ExitCode.USAGE) from None


@contextmanager
def _locked(machine: Machine, *, dry_run: bool) -> Iterator[None]:
    """Keep other installations out; raises StepFailed where one is running."""
    if dry_run:
        yield
        return
    with machine.at(LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StepFailed("another installation is running on this machine", ExitCode.UNFIT) from None
        yield


class _Parser(argparse.ArgumentParser):
    """Masks a join string that was passed as an argument."""

    def error(self, message: str) -> NoReturn:
        super().error(redact_join_strings(message))


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    codes = "\n".join(f"  {code.value:3}  {meaning}" for code, meaning in CODES.items())
    made = _Parser(
        prog="scripts/provision",
        description="Install the voice appliance on this machine, enrol it, start it and test it.\n"
        "It can be run again at any time: it changes only what is out of date.",
        epilog=f"The join string is never passed on the command line, where others could read it.\n\nexit codes:\n"
        f"{codes}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    made.add_argument(
        "--join-file",
        type=Path,
        metavar="FILE",
        help="file with the join string of `appliance-provisiond admin claims create`; - is standard input "
        "(default: ask for it)",
    )
    made.add_argument("--dry-run", action="store_true", help="show the plan, and change nothing")
    made.add_argument(
        "--no-start",
        action="store_true",
        help="do not start it now, as in a chroot or for an image; enrolment can wait too",
    )
    return made


def _stop(number: int, frame: object) -> NoReturn:
    """Exit so that the unfinished step is undone."""
    del frame
    for one in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(one, signal.SIG_IGN)  # a closed terminal sends it more than once; do not interrupt the undo
    sys.exit(_print_error("stopped by a signal; the unfinished step was undone", 128 + number))


def _print_error(line: str, code: int) -> int:
    with suppress(OSError):  # the terminal may be gone
        sys.stderr.write(f"provision: error: {line}\n")
    return code
