"""Enrolment, key rotation and forgetting of a device. Safe against a power cut at every step.

The key is stored before it is used, under the name of its claim; the server gives the same claim and key the same
device however often they come; the identity is stored last. So a step that was cut short is completed by repeating it.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from appliance.config.schema import ProvisioningSettings
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
from appliance.provisioning.device.error_policy import error_for
from appliance.provisioning.device.http import Answer, ApiRequest, SignedHttpClient, Transport
from appliance.provisioning.device.identity import Identity, TrustedKeys, is_key_file, key_file
from appliance.provisioning.device.sequence import FILE_NAME as SEQUENCE_FILE
from appliance.provisioning.device.sequence import SequenceCounter
from appliance.storage.atomic import final_name
from appliance.storage.private_dir import PrivateDirectory

STATUS_FILE: Final = "provisioning.json"
"""The server's last word on this device, for `appliance doctor`."""
_OWN_FILES: Final = frozenset({identity.FILE_NAME, SEQUENCE_FILE, STATUS_FILE, "usage.json", "models.json"})
"""The appliance's files in the state directory, beside its keys."""
_OLD_HALF_WRITTEN: Final = frozenset(
    f"{stem}.new" for name in _OWN_FILES for stem in (name, name.removesuffix(".json"))
)
"""Names under which earlier releases wrote them (`final_name`); a power cut may have left one."""


_MAX_CHARACTERS: Final = 80
"""Maximum length of a fact about the machine."""


@dataclass(frozen=True, slots=True)
class LocalDevice:
    """This device: the directory of its identity, and its settings."""

    directory: PrivateDirectory
    settings: ProvisioningSettings
    transport: Transport | None = None
    """Carries the requests instead of TLS connections, in tests."""

    def client(self) -> ProvisioningClient:
        """Return a client for this device's server; raises ConfigurationError."""
        return ProvisioningClient(self.settings, self.directory.path, self.transport)


@dataclass(frozen=True, slots=True)
class Enrolled:
    """The result of `enrol`."""

    device_id: str
    url: str
    status: DeviceStatus | None
    """None: this device had enrolled with the same claim before, and the server was not asked."""


def device_facts(root: Path = Path("/")) -> DeviceFacts:
    """Return model, system and the digest of the serial number, for the operator's list; missing ones are left out."""
    tree = root / "proc" / "device-tree"
    serial = _line(tree / "serial-number")
    return DeviceFacts(
        model=_line(tree / "model"),
        serial_sha256=hashlib.sha256(serial.encode()).hexdigest() if serial else None,
        os=_os_release(root / "etc" / "os-release"),
    )


async def enrol(device: LocalDevice, join: Join, facts: DeviceFacts, name: str | None) -> Enrolled:
    """Enrol this device at the server that ``join`` names.

    Raises:
        InputError: It is enrolled already, by another claim; or another program uses the identity.
        ConfigurationError: The state directory, the address or the key of the settings cannot be used.
        ProvisioningUnreachable: The server does not answer.
        ServerUntrusted: The server's key is not the one in ``join``; the claim was not sent.
        TokenRefused: The server does not accept the claim.
    """
    with device.directory.locked():
        before = identity.read(device.directory)
        if before is not None:
            if before.claim != join.claim.id:
                raise InputError(
                    f"this device is already enrolled as {before.device_id} at {before.url}: "
                    "run `appliance forget` first"
                )
            return Enrolled(before.device_id, before.url, None)
        key, file = _key_for(device, join)
        url = identity.checked_url(device.settings.url or join.url)
        request = EnrolRequest(claim=join.claim.text(), public_key=keys.jwk(key), device=facts, name=name)
        sequence = SequenceCounter(device.directory)
        api_request = ApiRequest("POST", ENROL_PATH, request.model_dump_json(exclude_none=True).encode())
        async with (
            SignedHttpClient(url, device.settings.ca_file, device.transport) as http,
            http.time_limit(device.settings.timeout_s),
        ):
            trusted = await _verified_server_key(http, join, key, sequence.next())
            signer = Signer(keys.thumbprint(key), sequence.next())
            answer = await http.send(api_request, key, signer, [join.server_key])
            accepted = _parse_enrolment(http, answer, trusted)
        enrolled = Identity(
            url=url,
            device_id=accepted.device_id,
            claim=join.claim.id,
            key_file=file,
            server_keys=accepted.server_keys,
        )
        identity.write(device.directory, enrolled)
        _remove_other_keys(device.directory, file)
        return Enrolled(enrolled.device_id, url, accepted.status)


async def fetch_status(device: LocalDevice) -> DeviceView:
    """Return the server's view of this device; raises as `ProvisioningClient.fetch_status`."""
    async with device.client() as client:
        return await client.fetch_status(device.settings.timeout_s)


async def rotate_key(device: LocalDevice) -> str:
    """Give this device a new key, and return its thumbprint; the old one is kept until the new one has worked.

    Raises:
        InputError: There is no key (66), or enrolment did not make it (65); or another program uses the identity.
        ConfigurationError, ProvisioningError: As `ProvisioningClient`.
    """
    before, given = identity.read(device.directory), identity.configured_key(device.settings)
    if before is None and given is None:
        raise InputError("this device is not enrolled: appliance enrol --join-file FILE", ExitCode.NO_INPUT)
    if before is None or not before.key_file or given:
        raise InputError("the key of this device comes from the settings: replace it there")
    new = keys.device_key(keys.new_private_key())
    name = keys.thumbprint(new)
    after = before.model_copy(update={"key_file": key_file(name[:12])})
    async with device.client() as client:
        device.directory.write(after.key_file, keys.private_key_pem(new))
        await client.announce_key(new)
    # From here on the server accepts both, and only the new one once it has seen it.
    identity.write(device.directory, after)
    try:
        await fetch_status(device)
    except TokenRefused:
        identity.write(device.directory, before)
        raise
    _remove_other_keys(device.directory, after.key_file)
    return name


def can_forget(device: LocalDevice) -> bool:
    """Say whether `forget` has anything to do; raises ConfigurationError."""
    return identity.is_configured(device.settings) or any(map(_is_own, device.directory.names()))


async def forget(device: LocalDevice) -> bool:
    """Delete this device's identity and its state; return whether the server has deleted it too.

    Raises:
        InputError: Another program uses the identity.
        ConfigurationError: A file cannot be removed.
    """
    deleted = await _delete_on_server(device)
    with device.directory.locked():
        # The identity goes last: while it is there, this can be repeated.
        own = filter(_is_own, device.directory.names())
        for name in sorted(own, key=lambda name: name == identity.FILE_NAME):
            device.directory.remove(name)
    return deleted


def _is_own(name: str) -> bool:
    return is_key_file(name) or final_name(name) in _OWN_FILES or name in _OLD_HALF_WRITTEN


async def _delete_on_server(device: LocalDevice) -> bool:
    try:
        async with device.client() as client:
            await client.delete_device()
    except (ProvisioningError, ConfigurationError):
        return False
    return True


def _key_for(device: LocalDevice, join: Join) -> tuple[keys.PrivateKey, str]:
    """Return the key to enrol with, and its file ("": the settings hold it).

    A key belongs to one claim: the server refuses it with another.
    """
    given = identity.configured_key(device.settings)
    if given is not None:
        return given, ""
    file = key_file(join.claim.id)
    kept = identity.stored_key(device.directory, file)
    if kept is not None:
        return kept, file
    pem = keys.new_private_key()
    device.directory.write(file, pem)
    return keys.device_key(pem), file


async def _verified_server_key(http: SignedHttpClient, join: Join, key: keys.PrivateKey, number: int) -> TrustedKeys:
    """Return the server's key that ``join`` names, once the server has signed with it; only then the claim is sent.

    The request is for this device's status. The server does not know the device, and names its keys in the refusal.
    """
    signer = Signer(keys.thumbprint(key), number)
    answer = await http.send(ApiRequest("GET", DEVICE_PATH), key, signer, [join.server_key])
    signed = answer.parameters
    if signed is None:
        raise http.foreign_answer(answer)
    if signed.key_id != join.server_key:
        raise ServerUntrusted(
            f"{http.url} answers with another key than the join string names: it is another server, somebody is in "
            "between, or the server's key was replaced; ask its operator for a new join string"
        )
    named = identity.trusted_keys(answer.server_keys)
    if join.server_key not in named:
        raise ServerUntrusted(
            f"{http.url} does not prove that it has the key that the join string names, so the claim was not sent: "
            "if its version is older than this device's, update it first"
        )
    trusted = {join.server_key: named[join.server_key]}
    http.verify(answer, trusted)
    problem = answer.problem
    if problem is not None and problem.code != ProblemCode.SIGNATURE_INVALID:
        raise error_for(answer.status, problem, http.url, None)
    return trusted


def _parse_enrolment(http: SignedHttpClient, answer: Answer, trusted: TrustedKeys) -> EnrolResponse:
    """Verify and parse the answer to an enrolment; the keys that it names are trusted from now on."""
    http.verify(answer, trusted)
    if not answer.is_success:
        raise error_for(answer.status, answer.problem, http.url, None)
    try:
        return EnrolResponse.model_validate_json(answer.body)
    except ValidationError:
        raise http.foreign_answer(answer) from None


def _remove_other_keys(directory: PrivateDirectory, kept: str) -> None:
    """Remove every key but ``kept``."""
    for name in directory.names():
        if is_key_file(name) and name != kept:
            directory.remove(name)


def _line(file: Path) -> str | None:
    try:
        text = file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    return _printable(text.partition("\n")[0])


def _os_release(file: Path) -> str | None:
    try:
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    entries = dict(line.partition("=")[::2] for line in lines)
    found = [entries.get(name, "").strip("\"'") for name in ("ID", "VERSION_ID")]
    return _printable("-".join(part for part in found if part))


def _printable(text: str) -> str | None:
    """Return the printable characters of ``text``, if any; device trees end strings with a zero byte."""
    return "".join(character for character in text if character.isprintable()).strip()[:_MAX_CHARACTERS] or None
