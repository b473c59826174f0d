"""The error tree.

* ApplianceError
    * ConfigurationError: a setting is wrong (owner installer, exit 78)
        * NotEnrolled: this device has no identity yet
    * InputError: a file named on the command line cannot be used (owner installer, exit 65 or 66)
    * DeviceError: hardware is missing or has failed (owner hardware, retried)
        * MicrophoneError · SpeakerError · LocalModelError · GpioError · EnrolmentError
    * ProvisioningError: no token, with a `LinkAction`, the remedy
        * ProvisioningUnreachable (network, retried) · ClockWrong · ServerUntrusted (both count as unreachable)
        * TokenRefused (installer, not retried)
    * LinkError: the Live connection, with a `LinkCause`, the reason, and a `LinkAction`, the remedy
    * ToolError: reported to the model, never fatal
    * StoreUnavailable: the provisioning server's database (retried, exit 69 or 73; defined with the server's modules)

Adapters translate foreign exceptions into these (`translated`); nothing foreign crosses a port. A message is one line,
says what to do, and contains no secret.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from enum import Enum, IntEnum
from typing import ClassVar


class ExitCode(IntEnum):
    """Exit codes of all programs; documented in docs/installing.md."""

    OK = 0
    BUG = 1
    USAGE = 2
    NOTHING_HEARD = 3
    """The input ended without a wake word."""
    UNFIT = 4
    """`appliance doctor` has found a problem, or `appliance status` tells of a fault."""
    DATA = 65
    """A file has the wrong content."""
    NO_INPUT = 66
    """A file or device is missing, or no daemon runs."""
    UNAVAILABLE = 69
    """A server or the daemon does not answer."""
    CANNOT_WRITE = 73
    """A result cannot be written."""
    REFUSED = 77
    """The provisioning server or the Live service refuses this device."""
    CONFIGURATION = 78
    """A setting is wrong; systemd does not restart after this one."""


class Owner(Enum):
    """The party that can fix an error."""

    INSTALLER = "installer"
    HOUSEHOLD = "household"
    NETWORK = "network"
    SERVICE = "service"
    HARDWARE = "hardware"
    US = "us"


class ApplianceError(Exception):
    """Root of the tree; ``code`` is a stable kebab-case name for logs, ``str()`` is one line for people."""

    code: ClassVar[str] = "appliance"
    owner: ClassVar[Owner] = Owner.US
    retried: ClassVar[bool] = False
    exit_code: ExitCode = ExitCode.BUG


class ConfigurationError(ApplianceError):
    """A setting is unknown or out of range; ``mistakes`` holds one line for each."""

    code = "configuration"
    owner = Owner.INSTALLER
    exit_code = ExitCode.CONFIGURATION

    def __init__(self, *mistakes: str) -> None:
        super().__init__("; ".join(mistakes))
        self.mistakes = mistakes


class NotEnrolled(ConfigurationError):  # noqa: N818  names a condition, as ConnectionRefused does
    """This device has no identity with a provisioning server, or none that can be read."""

    code = "not-enrolled"


class InputError(ApplianceError):
    """A file or device named on the command line cannot be used."""

    code = "input"
    owner = Owner.INSTALLER

    def __init__(self, message: str, exit_code: ExitCode = ExitCode.DATA) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class DeviceError(ApplianceError):
    """Hardware is missing or has failed; shown as a fault and retried."""

    code = "device"
    owner = Owner.HARDWARE
    retried = True
    exit_code = ExitCode.NO_INPUT


class MicrophoneError(DeviceError):
    """The microphone cannot be opened or has stopped."""

    code = "microphone"


class SpeakerError(DeviceError):
    """The speaker cannot be opened or has stopped."""

    code = "speaker"


class LocalModelError(DeviceError):
    """A model that runs on the device, for the wake word or for voices, is missing, altered or has failed."""

    code = "local-model"
    owner = Owner.INSTALLER


class GpioError(DeviceError):
    """A pin cannot be claimed, or has failed."""

    code = "gpio"


class EnrolmentError(DeviceError):
    """This device cannot ask for tokens: it has not enrolled yet, or another program uses its identity."""

    code = "enrolment"
    owner = Owner.INSTALLER


class LinkCause(Enum):
    """Why a link failed or ended, as far as the remedies differ."""

    UNREACHABLE = "unreachable"
    """No connection: address, route, TLS or time-out. Back off and try again."""
    REFUSED = "refused"
    """The service rejects the token or the set-up. Try a new token once, then a person is needed."""
    QUOTA = "quota"
    """The service reports that a quota is used up. Long back-off."""
    DROPPED = "dropped"
    """An open link ended. Resume the session."""
    ENDED = "ended"
    """The service closed in order (1000)."""
    PROTOCOL = "protocol"
    """The service sent something that its contract excludes."""


class LinkAction(Enum):
    """The remedy for a link that failed or ended."""

    RETRY_NOW = "retry-now"
    """Connect again at once and continue the session."""
    BACK_OFF = "back-off"
    """The service cannot serve now: retry at growing intervals."""
    NEW_TOKEN = "new-token"  # noqa: S105  an action
    """The token is at fault: fetch another. If that is refused, too, a person is needed."""
    FRESH_SESSION = "fresh-session"
    """The session is at fault: discard its handle and begin a new one."""
    OMIT_FEATURE = "drop-tier"
    """The set-up is at fault: leave out an optional part of it."""
    WAIT_QUOTA = "wait-quota"
    """A quota is used up: wait for a long time."""
    GIVE_UP_CONFIG = "give-up-config"
    """No attempt with these settings can succeed."""
    GIVE_UP_AUTH = "give-up-auth"
    """No attempt with this account can succeed."""
    NOT_ENROLLED = "not-enrolled"
    """No attempt can succeed before this device has enrolled."""
    OFFLINE = "offline"
    """The network does not reach the service: retry until it does."""
    CLOCK_WRONG = "clock-wrong"
    """The clock of this device is not set: retry until it is."""


class ProvisioningError(ApplianceError):
    """A request to the provisioning server failed; ``action`` is the remedy.

    ``retry_after_s`` is the server's Retry-After in seconds, 0 if it gives none.
    """

    code = "provisioning"
    usual: ClassVar[LinkAction] = LinkAction.BACK_OFF
    """The remedy if none is given."""

    def __init__(self, message: str, action: LinkAction | None = None, retry_after_s: float = 0.0) -> None:
        super().__init__(message)
        self.action = action or self.usual
        self.retry_after_s = retry_after_s


class ProvisioningUnreachable(ProvisioningError):  # noqa: N818  names a condition, as ConnectionRefused does
    """The provisioning server does not answer, or cannot serve now."""

    code = "provisioning-unreachable"
    owner = Owner.NETWORK
    retried = True
    exit_code = ExitCode.UNAVAILABLE
    usual = LinkAction.OFFLINE


class ClockWrong(ProvisioningUnreachable):
    """The server's certificate is not valid at the time of this device's clock."""

    code = "clock-wrong"
    usual = LinkAction.CLOCK_WRONG


class ServerUntrusted(ProvisioningUnreachable):
    """An answer is signed by an untrusted key: another server, or someone in between."""

    code = "server-untrusted"
    owner = Owner.INSTALLER
    exit_code = ExitCode.REFUSED


class TokenRefused(ProvisioningError):  # noqa: N818
    """The provisioning server does not serve this device."""

    code = "token-refused"
    owner = Owner.INSTALLER
    exit_code = ExitCode.REFUSED
    usual = LinkAction.GIVE_UP_AUTH


_ACTIONS: Mapping[LinkCause, LinkAction] = {
    LinkCause.UNREACHABLE: LinkAction.BACK_OFF,
    LinkCause.REFUSED: LinkAction.NEW_TOKEN,
    LinkCause.QUOTA: LinkAction.WAIT_QUOTA,
    LinkCause.DROPPED: LinkAction.RETRY_NOW,
    LinkCause.ENDED: LinkAction.RETRY_NOW,
    LinkCause.PROTOCOL: LinkAction.FRESH_SESSION,
}
"""The remedy if only the cause is known."""


class LinkError(ApplianceError):
    """The Live connection could not be opened or has ended; ``cause`` is the reason, ``action`` the remedy."""

    code = "link"
    owner = Owner.SERVICE
    retried = True
    exit_code = ExitCode.UNAVAILABLE

    def __init__(self, message: str, cause: LinkCause, action: LinkAction | None = None) -> None:
        super().__init__(message)
        self.cause = cause
        self.action = action or _ACTIONS[cause]
        if cause is LinkCause.REFUSED:
            self.exit_code = ExitCode.REFUSED


class ToolError(ApplianceError):
    """A tool could not do what the model asked; the text is returned to the model."""

    code = "tool"


@contextmanager
def translated(table: Mapping[type[Exception], type[ApplianceError]], message: str) -> Iterator[None]:
    """Raise the table's class with ``message: <foreign text>`` for a foreign exception; the first match wins."""
    try:
        yield
    except tuple(table) as error:
        for foreign, ours in table.items():
            if isinstance(error, foreign):
                raise ours(f"{message}: {error}") from error
        raise
