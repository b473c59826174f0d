"""The `appliance enrol` command: make this machine a device of a provisioning server, or tell how it stands."""

from getpass import getpass
from pathlib import Path
from typing import Final

from pydantic import TypeAdapter, ValidationError

from appliance.console import stdin
from appliance.console.output import show
from appliance.errors import ExitCode, InputError, TokenRefused
from appliance.net.event_loop import run
from appliance.private import others_may_read
from appliance.provisioning.common.join import Join, read_join
from appliance.provisioning.common.protocol import DeviceStatus, Short
from appliance.provisioning.device import identity
from appliance.provisioning.device.enrolment import Place, enrol, standing
from appliance.provisioning.device.facts import device_facts
from appliance.text import decoded

_MAX_BYTES: Final = 4096
STDIN: Final = Path("-")


def enrol_command(place: Place, join_file: Path | None, name: str | None) -> int:
    """Enrol with the join string in a file; without one, tell how the device stands, or ask for one on a terminal.

    Raises:
        InputError: There is no join string (66), it is none (65), the device has enrolled by another (65), or ``name``
            cannot be one (2).
        TokenRefused: The server knows the device, and gives it no tokens.
        ConfigurationError, ProvisioningError: As `enrol` and `standing`.
    """
    if join_file is None and _is_enrolled(place):
        url = identity.credentials(place.settings, place.directory).url
        view = run(standing(place))
        return _tell(view.status, view.device_id, f"{url}, which calls it {view.name}" if view.name else url)
    done = run(enrol(place, _join(join_file), device_facts(), _checked(name)))
    if done.status is not None:
        return _tell(done.status, done.device_id, done.url)
    show(f"enrolled already, as {done.device_id} at {done.url}")
    return ExitCode.OK


def _is_enrolled(place: Place) -> bool:
    return identity.is_given(place.settings) or identity.read(place.directory) is not None


def _tell(status: DeviceStatus, device_id: str, where: str) -> int:
    """Tell how the device stands; raises TokenRefused where it gets no tokens and nobody is asked to give it any."""
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
        return TypeAdapter(Short | None).validate_python(name)
    except ValidationError:
        raise InputError("--name: has to be one line of 1 to 80 characters", ExitCode.USAGE) from None


def _join(file: Path | None) -> Join:
    """Read the join string; it is never an argument, where others could read it."""
    try:
        return read_join(_asked() if file is None else _read(file))
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


def _asked() -> str:
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
