"""The `appliance` command: its subcommands, their settings, and errors in one line each."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from rich.table import Table

from appliance import __version__
from appliance.config.load import Effective, load
from appliance.console.argument_types import Parser, float_between, printable
from appliance.console.output import show, show_json
from appliance.errors import ApplianceError, ConfigurationError, ExitCode

if TYPE_CHECKING:
    from appliance.provisioning.device.enrolment import LocalDevice

DEFAULT_CONFIG = Path("/etc/voice-appliance/appliance.toml")


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Run a command and exit with its code."""
    sys.exit(run(sys.argv[1:] if argv is None else argv))


def run(argv: Sequence[str]) -> int:
    """Run a command; return its exit code. Errors go to stderr, one line each."""
    arguments = _parser().parse_args(argv)
    command: Callable[[argparse.Namespace], int] = arguments.command
    try:
        return int(command(arguments))
    except KeyboardInterrupt:
        return 130
    except BaseExceptionGroup as group:
        known = _known(group)
        if known is None:
            raise
        return _report(known)
    except ApplianceError as error:
        return _report(error)


def _known(group: BaseExceptionGroup[BaseException]) -> ApplianceError | None:
    """Return the first `ApplianceError` of a group that holds nothing else."""
    known, unknown = group.split(ApplianceError)
    if known is None or unknown is not None:
        return None
    first: BaseException = known
    while isinstance(first, BaseExceptionGroup):
        first = first.exceptions[0]
    return first if isinstance(first, ApplianceError) else None


def _report(error: ApplianceError) -> int:
    if os.environ.get("APPLIANCE_DEBUG"):
        raise error
    lines = error.mistakes if isinstance(error, ConfigurationError) else (str(error),)
    for line in lines:
        print(f"appliance: error: {printable(line)}", file=sys.stderr)
    return int(error.exit_code)


def _parser() -> argparse.ArgumentParser:
    codes = ", ".join(f"{code.value} {code.name.lower().replace('_', ' ')}" for code in ExitCode)
    parser = Parser(prog="appliance", description="The voice appliance.", epilog=f"Exit codes: {codes}.")
    parser.add_argument("--version", action="version", version=f"appliance {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    daemon = commands.add_parser("run", help="run the daemon, until SIGTERM")
    _add_config(daemon)
    daemon.set_defaults(command=_run)

    config = commands.add_parser("config", help="show the settings in force, and the origin of each")
    _add_config(config)
    config.add_argument("--json", action="store_true", help="print JSON")
    config.set_defaults(command=_config)

    devices = commands.add_parser("devices", help="list the sound cards, and the setting for each")
    _add_config(devices)
    devices.add_argument("--json", action="store_true", help="print JSON")
    devices.set_defaults(command=_devices)

    meter = commands.add_parser("meter", help="show the microphone's level")
    _add_config(meter)
    meter.add_argument(
        "--seconds", metavar="N", type=float_between(0.1, 86_400), help="stop after N seconds (default: with Ctrl-C)"
    )
    meter.set_defaults(command=_meter)

    doctor = commands.add_parser("doctor", help="check this machine, and say what to do about each problem")
    _add_config(doctor)
    doctor.add_argument(
        "--loop", action="store_true", help="play a sound, and measure how well it can be interrupted by speaking"
    )
    doctor.add_argument("--json", action="store_true", help="print JSON")
    doctor.set_defaults(command=_doctor)

    selftest = commands.add_parser("selftest", help="test card, token and Live session, while the daemon is stopped")
    _add_config(selftest)
    selftest.add_argument("--json", action="store_true", help="print JSON")
    selftest.set_defaults(command=_selftest)

    _add_provisioning(commands)

    status = commands.add_parser("status", help="show how the running appliance stands, and what to do about faults")
    status.add_argument("--json", action="store_true", help="print JSON")
    _add_runtime(status)
    status.set_defaults(command=_status)

    say = commands.add_parser("say", help="send text to the running appliance, which answers aloud")
    say.add_argument("words", nargs="+", metavar="WORD", help="the text; - reads it from standard input")
    _add_runtime(say)
    say.set_defaults(command=_say)

    demo = commands.add_parser("demo", help="hold one conversation on a recording, and draw it")
    from appliance.demo.options import add_arguments  # noqa: PLC0415  the daemon needs no demo

    add_arguments(demo)
    demo.set_defaults(command=_demo)
    return parser


def _add_provisioning(commands: "argparse._SubParsersAction[Parser]") -> None:
    enrol = commands.add_parser("enrol", help="enrol this device with a provisioning server, or show its status")
    _add_place(enrol)
    enrol.add_argument("--join-file", metavar="FILE", type=Path, help="file with the join string; - for standard input")
    enrol.add_argument("--name", help="name of the device for the operator (default: that of the claim)")
    enrol.set_defaults(command=_enrol)

    rotate_key = commands.add_parser("rotate-key", help="replace this device's key, while the daemon is stopped")
    _add_place(rotate_key)
    rotate_key.set_defaults(command=_rotate_key)

    forget = commands.add_parser("forget", help="remove this device's identity, to enrol it anew or give it away")
    _add_place(forget)
    forget.add_argument("--yes", action="store_true", help="do not ask")
    forget.set_defaults(command=_forget)


def _add_place(parser: argparse.ArgumentParser) -> None:
    _add_config(parser)
    parser.add_argument("--state", metavar="DIR", type=Path, help="the daemon's state directory (default: the unit's)")


def _add_config(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--config",
        metavar="FILE",
        type=Path,
        help=f"settings in TOML; with its drop-ins in FILE.d/ (default: {DEFAULT_CONFIG}, if it exists)",
    )


def _add_runtime(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--runtime", metavar="DIR", type=Path, help="the daemon's runtime directory (default: the unit's)"
    )


def _files(arguments: argparse.Namespace, default: Path = DEFAULT_CONFIG) -> list[Path]:
    if arguments.config is not None:
        return [arguments.config]
    try:
        default.stat()
    except FileNotFoundError:
        return []
    except OSError:
        pass  # it may exist: reading it reports what is wrong
    return [default]


def _load(arguments: argparse.Namespace) -> Effective:
    """Return the settings in force; warn on stderr of secrets that others may read. Raises ConfigurationError."""
    effective = load(_files(arguments))
    for line in effective.exposed:
        print(f"appliance: warning: {printable(line)}", file=sys.stderr)
    return effective


def _run(arguments: argparse.Namespace) -> int:
    effective = _load(arguments)
    from appliance import app, log  # noqa: PLC0415  `config` needs neither sound nor network

    log.configure(effective.settings.log)
    app.serve(effective.settings)
    return ExitCode.OK


def _devices(arguments: argparse.Namespace) -> int:
    from appliance.cli.commands.devices import devices_command  # noqa: PLC0415  as above

    return devices_command(_load(arguments).settings, as_json=arguments.json)


def _meter(arguments: argparse.Namespace) -> int:
    from appliance.cli.commands.meter import meter_command  # noqa: PLC0415  as above

    return meter_command(_load(arguments).settings, arguments.seconds)


def _doctor(arguments: argparse.Namespace) -> int:
    if arguments.loop:
        from appliance.cli.commands.loop import loop_command  # noqa: PLC0415  as above

        return loop_command(_load(arguments).settings, as_json=arguments.json)
    from appliance.cli.commands.doctor import doctor_command  # noqa: PLC0415  as above

    return doctor_command(_load(arguments).settings, as_json=arguments.json)


def _selftest(arguments: argparse.Namespace) -> int:
    from appliance.cli.commands.selftest import selftest_command  # noqa: PLC0415  as above

    return selftest_command(_load(arguments).settings, as_json=arguments.json)


def _device(arguments: argparse.Namespace) -> "LocalDevice":
    from appliance.provisioning.device.enrolment import LocalDevice  # noqa: PLC0415  as above
    from appliance.storage.private_dir import PrivateDirectory, state_directory  # noqa: PLC0415  as above

    settings = _load(arguments).settings
    return LocalDevice(PrivateDirectory(arguments.state or state_directory()), settings.provisioning)


def _enrol(arguments: argparse.Namespace) -> int:
    from appliance.cli.commands.identity import enrol_command  # noqa: PLC0415  as above

    return enrol_command(_device(arguments), arguments.join_file, arguments.name)


def _rotate_key(arguments: argparse.Namespace) -> int:
    from appliance.cli.commands.identity import rotate_key_command  # noqa: PLC0415  as above

    return rotate_key_command(_device(arguments))


def _forget(arguments: argparse.Namespace) -> int:
    from appliance.cli.commands.identity import forget_command  # noqa: PLC0415  as above

    return forget_command(_device(arguments), ask=not arguments.yes)


def _status(arguments: argparse.Namespace) -> int:
    from appliance.cli.commands.status import status_command  # noqa: PLC0415  as above
    from appliance.service.control_client import RUNTIME  # noqa: PLC0415  as above

    return status_command(arguments.runtime or RUNTIME, as_json=arguments.json)


def _say(arguments: argparse.Namespace) -> int:
    from appliance.cli.commands.say import say_command  # noqa: PLC0415  as above
    from appliance.service.control_client import RUNTIME  # noqa: PLC0415  as above

    return say_command(arguments.words, arguments.runtime or RUNTIME)


def _demo(arguments: argparse.Namespace) -> int:
    from appliance.demo.command import demo_command  # noqa: PLC0415  as above

    return demo_command(arguments)


def _config(arguments: argparse.Namespace) -> int:
    rows = list(_load(arguments).rows())
    if arguments.json:
        show_json({key: {"value": value, "origin": origin} for key, value, origin in rows})
        return ExitCode.OK
    table = Table("setting", "value", "from", box=None, pad_edge=False)
    for key, value, origin in rows:
        style = "dim" if origin == "default" else "bold"
        table.add_row(key, value, origin, style=style)
    show(table)
    return ExitCode.OK
