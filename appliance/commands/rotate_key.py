"""The `appliance rotate-key` command: another key for this device, for instance when a backup was lost."""

from appliance.errors import ExitCode
from appliance.live.loop import run
from appliance.provisioning.enrolment import Place, rotate
from appliance.stdout import show


def rotate_key_command(place: Place) -> int:
    """Replace the key; raises as `rotate`."""
    thumbprint = run(rotate(place))
    show(f"this device has another key, {thumbprint}")
    return ExitCode.OK
