"""The command line of the installation: what `scripts/provision` runs once there is a Python for it."""

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
from appliance.install.cleanup import Cleanup
from appliance.install.defaults import Defaults
from appliance.install.engine import Manner
from appliance.install.enrolment import MAX_JOIN_BYTES, Enrolment, read_join
from appliance.install.machine import Machine
from appliance.install.packages import Packages
from appliance.install.pins import Pins
from appliance.install.preconditions import NEEDED_MB, Facts, Preconditions
from appliance.install.release import Release
from appliance.install.self_test import SelfTest
from appliance.install.service import Service
from appliance.install.show import face
from appliance.install.step import Start, Step, StepFailed
from appliance.provisioning.common.join_string import redact_join_strings
from appliance.text import decoded

SOURCE: Final = Path(__file__).resolve().parents[2]
"""The checkout, or the unpacked archive, that this is part of."""
LOCK: Final = "/run/voice-appliance-provision.lock"
PATH: Final = f"{Path(sys.executable).parent}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
CODES: Final = {
    ExitCode.OK: "installed, or nothing to do",
    ExitCode.BUG: "a bug, or the daemon does not start",
    ExitCode.USAGE: "wrong usage; not root",
    ExitCode.UNFIT: "this machine is not fit, or busy with another installation, or the self-test has found a problem",
    ExitCode.DATA: "the join string, or something that was fetched, is not what it should be",
    ExitCode.NO_INPUT: "the file with the join string cannot be read",
    ExitCode.UNAVAILABLE: "packages could not be fetched, or the provisioning server does not answer",
    ExitCode.CANNOT_WRITE: "the disk is full, or cannot be written",
    ExitCode.REFUSED: "the provisioning server refuses this device",
    ExitCode.CONFIGURATION: "a setting is wrong",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Install, and return the exit code."""
    options = parser().parse_args(arguments)
    manner = Manner.DRY if options.dry_run else Manner.FOR_REAL
    if manner is Manner.FOR_REAL and os.geteuid() != 0:
        return _complain("only root can install: sudo scripts/provision; --dry-run needs no root", ExitCode.USAGE)
    signal.signal(signal.SIGTERM, _end)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as under nohup
        signal.signal(signal.SIGHUP, _end)  # the terminal is closed, or the connection to it is lost
    machine = Machine(Path("/"), PATH)
    start = Start.LATER if options.no_start else Start.NOW
    try:
        return install(machine, manner, start, options.join_file)
    except StepFailed as error:
        return _complain(str(error), error.exit_code)
    except KeyboardInterrupt:
        return _complain("stopped by Ctrl-C; the unfinished step was undone", 130)


def install(machine: Machine, manner: Manner, start: Start, join_file: Path | None, source: Path = SOURCE) -> int:
    """Do all steps and show the report; return the exit code.

    Raises:
        StepFailed: It cannot even begin.
    """
    with _alone(machine, manner), closing(face()) as shown:
        report = engine.run(steps(machine, manner, start, join_file, source), manner, shown)
        shown.report(report, manner)
    failed = next((line for line in report.lines if line.result is engine.Result.FAILED), None)
    if failed is not None:
        _complain(f"{failed.name}: {failed.text}", report.exit_code)
    return report.exit_code


def steps(machine: Machine, manner: Manner, start: Start, join_file: Path | None, source: Path) -> Sequence[Step]:
    """Return what there is to do, in its order; asks for the join string where a person can answer.

    Raises:
        StepFailed: The join string is missing where it is needed, or is none.
    """
    facts = Facts.of(machine, source)
    release = Release(machine, source, facts.python)
    asking = manner is Manner.FOR_REAL and start is Start.NOW
    join = None if join_file is None else read_join_file(join_file)
    if join is None and asking and not Enrolment(machine, release.appliance, None, start).is_enrolled():
        join = _asked()
    packages = Packages(machine, facts.python)
    return (
        Preconditions(machine, facts, start, needed_mb=0 if release.is_whole() else NEEDED_MB),
        Pins(machine, packages),
        packages,
        Account(machine, source),
        release,
        Defaults(machine, source),
        Enrolment(machine, release.appliance, join, start),
        SelfTest(machine, release, start),
        Service(machine, source, release, start),
        Cleanup(machine, release),
    )


def read_join_file(file: Path) -> str:
    """Read the join string from a file, ``-`` being the standard input; raises StepFailed."""
    try:
        with nullcontext(sys.stdin.buffer) if file == Path("-") else file.open("rb") as stream:
            return read_join(decoded(stream.read(MAX_JOIN_BYTES + 1)))
    except OSError as error:
        raise StepFailed(redact_join_strings(f"--join-file {file}: {error.strerror}"), ExitCode.NO_INPUT) from error


def _asked() -> str:
    """Ask a person for the join string, without showing it; raises StepFailed where nobody can answer."""
    if not sys.stdin.isatty():
        raise StepFailed(
            "a join string is needed: write it to a file that only you can read, and give --join-file FILE",
            ExitCode.USAGE,
        )
    try:
        return read_join(getpass("Join string (it is not shown): "))
    except EOFError:
        raise StepFailed("no join string was given, and nothing was changed", ExitCode.USAGE) from None


@contextmanager
def _alone(machine: Machine, manner: Manner) -> Iterator[None]:
    """Keep other installations out; raises StepFailed where there is one."""
    if manner is Manner.DRY:
        yield
        return
    with machine.at(LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StepFailed("another installation is under way on this machine", ExitCode.UNFIT) from None
        yield


class _Parser(argparse.ArgumentParser):
    """Does not repeat a join string that somebody has given as an argument."""

    def error(self, message: str) -> NoReturn:
        super().error(redact_join_strings(message))


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    codes = "\n".join(f"  {code.value:3}  {meaning}" for code, meaning in CODES.items())
    made = _Parser(
        prog="scripts/provision",
        description="Install the voice appliance on this machine, enrol it, start it and test it.\n"
        "May be run again at any time: what is as it should be is left alone.",
        epilog=f"The join string is never given on the command line, where others could read it.\n\nexit codes:\n"
        f"{codes}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    made.add_argument(
        "--join-file",
        type=Path,
        metavar="FILE",
        help="holds the join string of `appliance-provisiond admin claims create`; - for the standard input "
        "(default: ask for it)",
    )
    made.add_argument("--dry-run", action="store_true", help="say what would be done, and change nothing")
    made.add_argument(
        "--no-start",
        action="store_true",
        help="do not start it now, as in a chroot or for an image; enrolment may wait too",
    )
    return made


def _end(number: int, frame: object) -> NoReturn:
    """End in order, so that what is being done is undone."""
    del frame
    for one in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(one, signal.SIG_IGN)  # a closed terminal sends it more than once; the undoing is not to be undone
    sys.exit(_complain("stopped by a signal; the unfinished step was undone", 128 + number))


def _complain(line: str, code: int) -> int:
    with suppress(OSError):  # the terminal may be gone
        sys.stderr.write(f"provision: error: {line}\n")
    return code
