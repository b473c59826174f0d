"""The commands `appliance enrol`, `rotate-key` and `forget`: who this device is to its provisioning server."""

from getpass import getpass
from pathlib import Path
from typing import Final

from pydantic import TypeAdapter, ValidationError

from appliance.console import stdin
from appliance.console.output import show
from appliance.errors import ConfigurationError, ExitCode, InputError, TokenRefused
from appliance.net.event_loop import run
from appliance.permissions import others_may_read
from appliance.provisioning.common.join import Join, read_join
from appliance.provisioning.common.protocol import DeviceStatus, ShortText
from appliance.provisioning.device import identity
from appliance.provisioning.device.enrolment import (
    LocalDevice,
    can_forget,
    device_facts,
    enrol,
    fetch_status,
    forget,
    rotate_key,
)
from appliance.text import decoded

_MAX_BYTES: Final = 4096
STDIN: Final = Path("-")


def enrol_command(device: LocalDevice, join_file: Path | None, name: str | None) -> int:
    """Enrol with the join string in a file; without one, show the device's status, or ask for one on a terminal.

    Raises:
        InputError: There is no join string (66), it is malformed (65), the device has enrolled by another (65), or
            ``name`` is invalid (2).
        TokenRefused: The server knows the device, but gives it no tokens.
        ConfigurationError, ProvisioningError: As `enrol` and `standing`.
    """
    if join_file is None and _is_enrolled(device):
        url = identity.load_credentials(device.settings, device.directory).url
        view = run(fetch_status(device))
        return _show_status(view.status, view.device_id, f"{url}, which calls it {view.name}" if view.name else url)
    done = run(enrol(device, _join(join_file), device_facts(), _checked(name)))
    if done.status is not None:
        return _show_status(done.status, done.device_id, done.url)
    show(f"enrolled already, as {done.device_id} at {done.url}")
    return ExitCode.OK


def rotate_key_command(device: LocalDevice) -> int:
    """Replace the key; raises as `rotate`."""
    thumbprint = run(rotate_key(device))
    show(f"this device has another key, {thumbprint}")
    return ExitCode.OK


def forget_command(device: LocalDevice, *, ask: bool) -> int:
    """Remove identity and state, once a person has agreed if ``ask``; show what is left to do.

    Raises:
        InputError: Nobody has agreed, or the daemon runs.
        ConfigurationError: A file cannot be removed.
    """
    if not can_forget(device):
        show("there is nothing to forget: this device is not enrolled")
        return ExitCode.OK
    who = _who(device)
    if ask:
        _confirm(who)
    if run(forget(device)):
        show(f"forgotten: {who}; its server has revoked it")
    else:
        show(
            f"forgotten: {who}; its server could not be reached: have its operator revoke it "
            "(`appliance-provisiond admin devices revoke`)"
        )
    return ExitCode.OK


def _is_enrolled(device: LocalDevice) -> bool:
    return identity.is_configured(device.settings) or identity.read(device.directory) is not None


def _show_status(status: DeviceStatus, device_id: str, where: str) -> int:
    """Show the status; raises TokenRefused if the device gets no tokens and is not waiting for approval."""
    match status:
        case DeviceStatus.ACTIVE:
            show(f"enrolled, as {device_id} at {where}")
        case DeviceStatus.PENDING:
            show(f"enrolled, as {device_id} at {where}; waits for approval: `admin devices approve {device_id}` there")
        case _:
            raise TokenRefused(f"{device_id} is {status} at {where}: ask who runs the provisioning server")
    return ExitCode.OK


def _checked(name: str | None) -> str | None:
    try:
        return TypeAdapter(ShortText | None).validate_python(name)
    except ValidationError:
        raise InputError("--name: has to be one line of 1 to 80 characters", ExitCode.USAGE) from None


def _join(file: Path | None) -> Join:
    """Read the join string; it is never an argument, which other users could see."""
    try:
        return read_join(_prompt() if file is None else _read(file))
    except ValueError as error:
        raise InputError(str(error)) from None


def _read(file: Path) -> str:
    if file == STDIN:
        return stdin.read(_MAX_BYTES)
    if others_may_read(file):
        show(f"warning: others may read {file}: whoever is faster enrols with it; remove it when this is done")
    try:
        with file.open("rb") as stream:
            return decoded(stream.read(_MAX_BYTES))
    except OSError as error:
        raise InputError(f"--join-file {file}: {error.strerror}", ExitCode.NO_INPUT) from error


def _prompt() -> str:
    if not stdin.is_terminal():
        raise InputError(
            "this device is not enrolled: write the join string to a file that only you can read, and give "
            "--join-file FILE",
            ExitCode.NO_INPUT,
        )
    try:
        return getpass("Join string (it is not shown): ")
    except EOFError:
        return ""


def _who(device: LocalDevice) -> str:
    try:
        found = identity.read(device.directory)
    except ConfigurationError:
        return "a damaged identity"
    return f"{found.device_id} at {found.url}" if found else "the remains of an enrolment"


def _confirm(who: str) -> None:
    """Ask on the terminal; raises InputError unless the answer is yes."""
    if not stdin.is_terminal():
        raise InputError("this cannot be undone: give --yes", ExitCode.USAGE)
    show(f"This device is {who}. It will not work until it enrols again, with a new join string.")
    try:
        answer = input("Forget it? Type yes: ")
    except (EOFError, UnicodeDecodeError, RuntimeError):  # the last: there is no output on which to ask
        answer = ""
    if answer.strip().lower() != "yes":
        raise InputError("nothing was forgotten", ExitCode.USAGE)
