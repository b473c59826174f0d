"""The `appliance forget` command: make this device one that has never enrolled."""

from enum import Enum

from appliance.console import stdin
from appliance.console.output import show
from appliance.errors import ConfigurationError, ExitCode, InputError
from appliance.net.event_loop import run
from appliance.provisioning.device import identity
from appliance.provisioning.device.enrolment import Place, forget, is_anything_left


class Consent(Enum):
    """Whether a person has to be asked."""

    GIVEN = "given"
    TO_BE_ASKED = "to be asked"


def forget_command(place: Place, consent: Consent) -> int:
    """Remove identity and state, and tell what is left to do.

    Raises:
        InputError: Nobody has agreed to it, or the daemon runs.
        ConfigurationError: A file cannot be removed.
    """
    if not is_anything_left(place):
        show("there is nothing to forget: this device is not enrolled")
        return ExitCode.OK
    who = _who(place)
    if consent is Consent.TO_BE_ASKED:
        _ask(who)
    if run(forget(place)):
        show(f"forgotten: {who}; its server knows, and takes it for revoked")
    else:
        show(
            f"forgotten: {who}; its server could not be told: have its operator revoke it "
            "(`appliance-provisiond admin devices revoke`)"
        )
    return ExitCode.OK


def _who(place: Place) -> str:
    try:
        found = identity.read(place.directory)
    except ConfigurationError:
        return "a damaged identity"
    return f"{found.device_id} at {found.url}" if found else "whatever was left of an enrolment"


def _ask(who: str) -> None:
    """Have a person agree."""
    if not stdin.is_terminal():
        raise InputError("this cannot be undone: give --yes", ExitCode.USAGE)
    show(f"This device is {who}. It will not work until it enrols again, with a new join string.")
    if _answer("Forget it? Type yes: ").strip().lower() != "yes":
        raise InputError("nothing was forgotten", ExitCode.USAGE)


def _answer(question: str) -> str:
    try:
        return input(question)
    except (EOFError, UnicodeDecodeError, RuntimeError):  # the last: there is no output on which to ask
        return ""
