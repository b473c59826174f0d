"""The `appliance rotate-key` command: another key for this device, for instance when a backup was lost."""

from appliance.console.output import show
from appliance.errors import ExitCode
from appliance.net.event_loop import run
from appliance.provisioning.device.enrolment import Place, rotate


def rotate_key_command(place: Place) -> int:
    """Replace the key; raises as `rotate`."""
    thumbprint = run(rotate(place))
    show(f"this device has another key, {thumbprint}")
    return ExitCode.OK
