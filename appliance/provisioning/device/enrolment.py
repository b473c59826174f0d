"""How a device comes to its identity, gets another key, and loses both. Safe against a power cut at every step.

The key is written before it is used, under the name of its claim; the server gives the same claim and key the same
device however often they come; the identity is written last. So whatever is cut short is done by doing it again.
"""

from dataclasses import dataclass
from typing import Final

from pydantic import ValidationError

from appliance.config.schema import Provisioning
from appliance.errors import ConfigurationError, ExitCode, InputError, ProvisioningError, ServerUntrusted, TokenRefused
from appliance.provisioning.common import keys
from appliance.provisioning.common.join import Join
from appliance.provisioning.common.protocol import (
    DEVICE_PATH,
    ENROL_PATH,
    DeviceFacts,
    DeviceStatus,
    DeviceView,
    EnrolRequest,
    EnrolResponse,
    ProblemCode,
)
from appliance.provisioning.common.signatures import Signer
from appliance.provisioning.device import identity
from appliance.provisioning.device.client import ProvisioningClient
from appliance.provisioning.device.error_policy import refusal
from appliance.provisioning.device.http import Answer, SignedHttpClient, Target, Transport
from appliance.provisioning.device.identity import Identity, Trusted, is_key_file, key_file
from appliance.provisioning.device.sequence import FILE_NAME as SEQUENCE_FILE
from appliance.provisioning.device.sequence import SequenceCounter
from appliance.storage.atomic import final_name
from appliance.storage.private_dir import PrivateDirectory

STANDING_FILE: Final = "provisioning.json"
"""What the server has said of this device, for `appliance doctor`."""
_OWN_FILES: Final = frozenset({identity.FILE_NAME, SEQUENCE_FILE, STANDING_FILE, "usage.json", "models.json"})
"""The appliance's files in the state directory, beside its keys."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a device's identity is kept, and how its server is reached."""

    directory: PrivateDirectory
    settings: Provisioning
    transport: Transport | None = None
    """What carries the requests; None: TLS connections of its own."""

    def client(self) -> ProvisioningClient:
        """Return a line to the server of this device; raises ConfigurationError."""
        return ProvisioningClient(self.settings, self.directory.path, self.transport)


@dataclass(frozen=True, slots=True)
class Enrolled:
    """What has come of it."""

    device_id: str
    url: str
    status: DeviceStatus | None
    """None: this device had enrolled with the same claim before, and nobody was asked."""


async def enrol(place: Place, join: Join, facts: DeviceFacts, name: str | None) -> Enrolled:
    """Become a device of the server that ``join`` names.

    Raises:
        InputError: It is one already, by another claim; or another program uses the identity.
        ConfigurationError: The state directory, the address or the key of the settings cannot be used.
        ProvisioningUnreachable: The server does not answer.
        ServerUntrusted: It answers with another key than ``join`` names; it has not heard the claim then.
        TokenRefused: It does not accept the claim.
    """
    with place.directory.locked():
        before = identity.read(place.directory)
        if before is not None:
            if before.claim != join.claim.id:
                raise InputError(
                    f"this device is enrolled already, as {before.device_id} at {before.url}: `appliance forget` first"
                )
            return Enrolled(before.device_id, before.url, None)
        key, file = _key_for(place, join)
        url = identity.checked_url(place.settings.url or join.url)
        asked = EnrolRequest(claim=join.claim.text(), public_key=keys.jwk(key), device=facts, name=name)
        numbers = SequenceCounter(place.directory)
        target = Target("POST", ENROL_PATH, asked.model_dump_json(exclude_none=True).encode())
        async with (
            SignedHttpClient(url, place.settings.ca_file, place.transport) as exchange,
            exchange.patience(place.settings.timeout_s),
        ):
            trusted = await _proved(exchange, join, key, numbers.take())
            signer = Signer(keys.thumbprint(key), numbers.take())
            answer = await exchange.ask(target, key, signer, [join.server_key])
            accepted = _read(exchange, answer, trusted)
        made = Identity(
            url=url,
            device_id=accepted.device_id,
            claim=join.claim.id,
            key_file=file,
            server_keys=accepted.server_keys,
        )
        identity.write(place.directory, made)
        _tidy(place.directory, file)
        return Enrolled(made.device_id, url, accepted.status)


async def standing(place: Place) -> DeviceView:
    """Ask the server how this device stands; raises as `ProvisioningClient.standing`."""
    async with place.client() as client:
        return await client.standing(place.settings.timeout_s)


async def rotate(place: Place) -> str:
    """Give this device another key, and return its thumbprint; the old one is kept until the new one has worked.

    Raises:
        InputError: There is no key (66), or not one that enrolment has made (65); or another program uses the identity.
        ConfigurationError, ProvisioningError: As `ProvisioningClient`.
    """
    before, given = identity.read(place.directory), identity.given_key(place.settings)
    if before is None and given is None:
        raise InputError("this device is not enrolled: appliance enrol --join-file FILE", ExitCode.NO_INPUT)
    if before is None or not before.key_file or given:
        raise InputError("this device has no key of its own making: replace it where it comes from")
    new = keys.device_key(keys.new_private_key())
    name = keys.thumbprint(new)
    after = before.model_copy(update={"key_file": key_file(name[:12])})
    async with place.client() as client:
        place.directory.write(after.key_file, keys.private_key_pem(new))
        await client.announce(new)
    # From here on the server takes both, and the new one alone once it has seen it.
    identity.write(place.directory, after)
    try:
        await standing(place)
    except TokenRefused:
        identity.write(place.directory, before)
        raise
    _tidy(place.directory, after.key_file)
    return name


def is_anything_left(place: Place) -> bool:
    """Say whether there is anything to forget; raises ConfigurationError."""
    return identity.is_given(place.settings) or any(map(_is_own, place.directory.names()))


async def forget(place: Place) -> bool:
    """Make this device one that has never enrolled; return whether the server knows.

    Raises:
        InputError: Another program uses the identity.
        ConfigurationError: A file cannot be removed.
    """
    knows = await _leave(place)
    with place.directory.locked():
        # The identity goes last: as long as it is there, this can be done again.
        own = filter(_is_own, place.directory.names())
        for name in sorted(own, key=lambda name: name == identity.FILE_NAME):
            place.directory.remove(name)
    return knows


def _is_own(name: str) -> bool:
    return is_key_file(name) or final_name(name) in _OWN_FILES


async def _leave(place: Place) -> bool:
    try:
        async with place.client() as client:
            await client.leave()
    except (ProvisioningError, ConfigurationError):
        return False
    return True


def _key_for(place: Place, join: Join) -> tuple[keys.PrivateKey, str]:
    """Return the key to enrol with, and the file it is in ("": that of the settings).

    A key belongs to one claim: the server refuses it with another.
    """
    given = identity.given_key(place.settings)
    if given is not None:
        return given, ""
    file = key_file(join.claim.id)
    kept = identity.kept_key(place.directory, file)
    if kept is not None:
        return kept, file
    pem = keys.new_private_key()
    place.directory.write(file, pem)
    return keys.device_key(pem), file


async def _proved(exchange: SignedHttpClient, join: Join, key: keys.PrivateKey, number: int) -> Trusted:
    """Return the key that ``join`` names, once the server has signed with it: before that, it does not hear the claim.

    It is asked how this device stands. It does not know the device, and says so in an answer that names its keys.
    """
    signer = Signer(keys.thumbprint(key), number)
    answer = await exchange.ask(Target("GET", DEVICE_PATH), key, signer, [join.server_key])
    signed = answer.parameters
    if signed is None:
        raise exchange.strange(answer)
    if signed.key_id != join.server_key:
        raise ServerUntrusted(
            f"{exchange.url} answers with another key than the join string names: it is another server, somebody is in "
            "between, or the server's key was replaced; ask who runs it for a new join string"
        )
    named = identity.trusted(answer.server_keys)
    if join.server_key not in named:
        raise ServerUntrusted(
            f"{exchange.url} does not show the key that the join string names, and so is not told the claim: if it is "
            "an older version than this device, update it first"
        )
    trusted = {join.server_key: named[join.server_key]}
    exchange.check(answer, trusted)
    problem = answer.problem
    if problem is not None and problem.code != ProblemCode.SIGNATURE_INVALID:
        raise refusal(answer.status, problem, exchange.url, None)
    return trusted


def _read(exchange: SignedHttpClient, answer: Answer, trusted: Trusted) -> EnrolResponse:
    """Return the server's word that this is a device; it names its keys, which are trusted from now on."""
    exchange.check(answer, trusted)
    if not answer.is_success:
        raise refusal(answer.status, answer.problem, exchange.url, None)
    try:
        return EnrolResponse.model_validate_json(answer.body)
    except ValidationError:
        raise exchange.strange(answer) from None


def _tidy(directory: PrivateDirectory, kept: str) -> None:
    """Remove keys that nobody needs any more."""
    for name in directory.names():
        if is_key_file(name) and name != kept:
            directory.remove(name)
