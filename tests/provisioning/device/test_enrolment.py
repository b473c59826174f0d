"""Enrolment, another key, and forgetting, against the real server; with the power cut at every step."""

import json
from pathlib import Path

import httpx2
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from appliance.core.state import Mode
from appliance.errors import (
    ConfigurationError,
    ExitCode,
    InputError,
    ProvisioningUnreachable,
    ServerUntrusted,
    TokenRefused,
)
from appliance.provisioning.common import keys
from appliance.provisioning.common.protocol import DeviceFacts, DeviceStatus, Purpose
from appliance.provisioning.device import identity
from appliance.provisioning.device.client import ProvisioningClient
from appliance.provisioning.device.enrolment import LocalDevice, enrol, fetch_status, forget, rotate_key
from appliance.provisioning.server import audit, devices
from appliance.storage.private_dir import PrivateDirectory
from tests.support.devices import Power, PowerCut, join, local_device
from tests.support.provisioning import NOW, SERVER, TOKEN, World, answer, plain, world

FACTS = DeviceFacts(model="Raspberry Pi 4", os="debian-12")


async def token_of(where: LocalDevice) -> str:
    async with where.client() as client:
        return (await client.fetch_token(Mode.HANDS_FREE, Purpose.NEW)).value


def key_files(directory: Path) -> list[str]:
    return [name for name in PrivateDirectory(directory).names() if identity.is_key_file(name)]


def device_count(here: World) -> int:
    return int(here.work(lambda connection: connection.exec_driver_sql("SELECT count(*) FROM device").scalar()))


async def test_a_device_enrols_and_gets_tokens_by_what_enrolment_has_left(tmp_path):
    here = world(devices={})
    where = local_device(here, tmp_path)
    done = await enrol(where, join(here.claim(label="kitchen")), FACTS, None)
    assert done.status is DeviceStatus.ACTIVE
    assert await token_of(where) == TOKEN
    view = await fetch_status(where)
    assert (view.device_id, view.name) == (done.device_id, "kitchen")
    kept = json.loads((tmp_path / "identity.json").read_text())
    assert kept["url"] == SERVER
    assert all(((tmp_path / name).stat().st_mode & 0o777) == 0o600 for name in PrivateDirectory(tmp_path).names())


async def test_with_the_same_claim_it_has_enrolled_already_and_nobody_is_asked(tmp_path):
    here = world(devices={})
    string = join(here.claim())
    first = await enrol(local_device(here, tmp_path), string, FACTS, None)
    again = await enrol(local_device(here, tmp_path, Power(0)), string, FACTS, None)
    assert (again.device_id, again.status) == (first.device_id, None)
    with pytest.raises(InputError, match="appliance forget"):
        await enrol(local_device(here, tmp_path), join(here.claim()), FACTS, None)


async def steps_of(work) -> int:
    """Return how many steps ``work(power)`` takes in a world of its own."""
    power = Power()
    await work(power)
    return power.used


async def test_enrolment_goes_on_after_a_power_cut_at_any_step(tmp_path):
    async def cut(power: Power, name: str = "whole") -> None:
        here = world(devices={})
        string = join(here.claim())
        try:
            await enrol(local_device(here, tmp_path / name, power), string, FACTS, None)
        except PowerCut:
            await enrol(local_device(here, tmp_path / name), string, FACTS, None)
        where = local_device(here, tmp_path / name)
        assert await token_of(where) == TOKEN
        assert device_count(here) == 1
        assert len(key_files(tmp_path / name)) == 1

    steps = await steps_of(cut)
    assert steps >= 8
    for step in range(steps):
        await cut(Power(step), str(step))


@pytest.mark.slow
async def test_another_key_works_or_the_old_one_does_after_a_power_cut_at_any_step(tmp_path):
    async def cut(power: Power, name: str = "whole") -> None:
        here = world(devices={})
        plugged = local_device(here, tmp_path / name)
        await enrol(plugged, join(here.claim()), FACTS, None)
        before = key_files(tmp_path / name)
        try:
            await rotate_key(local_device(here, tmp_path / name, power))
        except PowerCut:
            assert await token_of(plugged) == TOKEN
            await rotate_key(plugged)
        assert await token_of(plugged) == TOKEN
        after = key_files(tmp_path / name)
        assert len(after) == 1
        assert after != before

    steps = await steps_of(cut)
    assert steps >= 10
    for step in range(steps):
        await cut(Power(step), str(step))


@pytest.mark.slow
async def test_forgetting_can_be_done_again_until_all_is_gone(tmp_path):
    async def cut(power: Power, name: str = "whole") -> None:
        here = world(devices={})
        directory = tmp_path / name
        await enrol(local_device(here, directory), join(here.claim()), FACTS, None)
        await token_of(local_device(here, directory))
        for left in (
            "usage.json",
            ".usage.json.new",
            ".models.json.new",
            ".provisioning.json.new",
            ".provisioning-sequence.new",
        ):
            (directory / left).write_text("{}")
        (directory / "somebody-elses").write_text("")
        try:
            await forget(local_device(here, directory, power))
        except PowerCut:
            await forget(local_device(here, directory))
        assert PrivateDirectory(directory).names() == ["somebody-elses"]
        with pytest.raises(ConfigurationError, match="not enrolled"):
            local_device(here, directory).client()

    steps = await steps_of(cut)
    assert steps >= 8
    for step in range(steps):
        await cut(Power(step), str(step))


async def test_forgetting_removes_what_an_earlier_release_left_half_written(tmp_path):
    here = world(devices={})
    where = local_device(here, tmp_path)
    await enrol(where, join(here.claim()), FACTS, None)
    for left in (
        "device-key-abc.pem.new",
        "identity.json.new",
        "provisioning-sequence.new",
        "usage.new",
        "models.new",
        "provisioning.new",
    ):
        (tmp_path / left).write_text("half")
    (tmp_path / "somebody-elses.new").write_text("")
    await forget(where)
    assert PrivateDirectory(tmp_path).names() == ["somebody-elses.new"]


async def test_the_server_hears_of_it_and_without_it_that_is_said(tmp_path):
    here = world(devices={})
    where = local_device(here, tmp_path)
    await enrol(where, join(here.claim()), FACTS, None)

    async def nobody(request: httpx2.Request) -> httpx2.Response:
        raise httpx2.ConnectError("x")

    away = local_device(here, tmp_path / "other", carrier=httpx2.MockTransport(nobody))
    assert await forget(where) is True
    assert await forget(away) is False


async def test_a_device_that_waits_for_approval_is_told_so_until_it_is_given(tmp_path):
    here = world(devices={})
    where = local_device(here, tmp_path)
    done = await enrol(where, join(here.claim(needs_approval=True)), FACTS, None)
    assert done.status is DeviceStatus.PENDING
    with pytest.raises(TokenRefused, match="approve"):
        await token_of(where)
    assert (await fetch_status(where)).status is DeviceStatus.PENDING
    here.work(lambda c: devices.move(c, done.device_id, audit.AuditAction.APPROVED, here.ms, "admin"))
    assert await token_of(where) == TOKEN


async def test_a_claim_that_was_used_is_refused(tmp_path):
    here = world(devices={})
    string = join(here.claim())
    await enrol(local_device(here, tmp_path / "one"), string, FACTS, None)
    with pytest.raises(TokenRefused, match="claim") as caught:
        await enrol(local_device(here, tmp_path / "two"), string, FACTS, None)
    assert caught.value.exit_code == ExitCode.REFUSED
    assert string.claim.secret not in str(caught.value)
    # A claim that is good makes a device of the same machine.
    assert (await enrol(local_device(here, tmp_path / "two"), join(here.claim()), FACTS, None)).status
    assert len(key_files(tmp_path / "two")) == 1


async def test_a_server_with_another_key_than_the_join_string_names_is_not_believed(tmp_path):
    here = world(devices={})
    other = keys.private_key(keys.new_private_key())
    with pytest.raises(ServerUntrusted) as caught:
        await enrol(local_device(here, tmp_path), join(here.claim(), other), FACTS, None)
    assert caught.value.exit_code == ExitCode.REFUSED
    assert identity.read(PrivateDirectory(tmp_path)) is None


@pytest.mark.parametrize("kind", ["another server", "names no key", "unsigned", "forged"])
async def test_nobody_hears_the_claim_who_has_not_shown_the_key(tmp_path, kind):
    heard: list[bytes] = []

    here = world(devices={})
    other = keys.private_key(keys.new_private_key())
    string = join(here.claim(), other if kind == "another server" else here.key)

    async def listening(request: httpx2.Request) -> httpx2.Response:
        heard.append(await request.aread())
        if kind == "another server":
            return await here.transport.handle_async_request(request)
        named = [{"kid": string.server_key, "x": keys.jwk(here.key).x}]
        problem = {"code": "signature-invalid", "server_keys": [] if kind == "names no key" else named}
        if kind == "unsigned":
            return plain(json.dumps(problem).encode(), 401)
        if kind == "names no key":
            return answer(request, problem, 401, here.key)
        forged = answer(request, problem, 401, other)
        header = forged.headers["signature-input"].replace(keys.thumbprint(other), string.server_key)
        return plain(json.dumps(problem).encode(), 401, {**forged.headers, "signature-input": header})

    with pytest.raises(ProvisioningUnreachable):
        await enrol(local_device(here, tmp_path, carrier=httpx2.MockTransport(listening)), string, FACTS, None)
    assert heard == [b""]


async def test_a_refusal_that_is_not_about_the_device_is_told_before_the_claim_goes_out(tmp_path):
    here = world(devices={}, min_agent_version="99")
    with pytest.raises(TokenRefused, match="newer version"):
        await enrol(local_device(here, tmp_path), join(here.claim()), FACTS, None)


@pytest.mark.parametrize("status", [200, 201, 403, 503])
async def test_an_enrolment_that_is_not_signed_is_none(tmp_path, status):
    async def page(request: httpx2.Request) -> httpx2.Response:
        return plain(b'{"code": "claim-invalid"}', status)

    here = world(devices={})
    where = local_device(here, tmp_path, carrier=httpx2.MockTransport(page))
    with pytest.raises(ProvisioningUnreachable) as caught:
        await enrol(where, join(here.claim()), FACTS, None)
    assert caught.value.exit_code == ExitCode.UNAVAILABLE


async def test_an_enrolment_that_somebody_has_signed_in_the_servers_name_is_none(tmp_path):
    """He names his key as the server's: its thumbprint is another one than the name it goes by."""
    his = keys.private_key(keys.new_private_key())

    here = world(devices={})
    string = join(here.claim())

    async def forge(request: httpx2.Request) -> httpx2.Response:
        named = [{"kid": string.server_key, "x": keys.jwk(his).x}]
        body = {"device_id": "d", "status": "active", "server_keys": named, "server_time": NOW.isoformat()}
        forged = answer(request, body, 201, his)
        header = forged.headers["signature-input"].replace(keys.thumbprint(his), string.server_key)
        return plain(json.dumps(body).encode(), 201, {**forged.headers, "signature-input": header})

    with pytest.raises(ProvisioningUnreachable):
        await enrol(local_device(here, tmp_path, carrier=httpx2.MockTransport(forge)), string, FACTS, None)


async def test_a_key_of_the_settings_is_used_and_may_be_p256(tmp_path):
    pem = keys.private_key_pem(ec.generate_private_key(ec.SECP256R1()))

    here = world(devices={})
    where = local_device(here, tmp_path, device_key=pem)
    await enrol(where, join(here.claim()), FACTS, None)
    assert key_files(tmp_path) == []
    assert await token_of(where) == TOKEN
    with pytest.raises(InputError, match="comes from the settings"):
        await rotate_key(where)


@pytest.mark.parametrize(("name", "content"), [("identity.json", "{"), ("key", "no key")])
async def test_what_is_damaged_is_told_and_can_be_forgotten(tmp_path, name, content):
    here = world(devices={})
    where = local_device(here, tmp_path)
    await enrol(where, join(here.claim()), FACTS, None)
    (tmp_path / (key_files(tmp_path)[0] if name == "key" else name)).write_text(content)
    with pytest.raises(ConfigurationError, match="damaged"):
        where.client()
    assert await forget(where) is False
    assert PrivateDirectory(tmp_path).names() == []


async def test_a_device_learns_the_servers_next_key_and_stays_when_it_signs(tmp_path):
    next_key = keys.private_key(keys.new_private_key())

    here = world(devices={})
    await enrol(local_device(here, tmp_path), join(here.claim()), FACTS, None)
    announced = World(here.settings, here.store, here.upstream, next_key=next_key)
    await fetch_status(local_device(announced, tmp_path))
    rotated = World(here.settings, here.store, here.upstream, key=next_key)
    assert await token_of(local_device(rotated, tmp_path)) == TOKEN
    await fetch_status(local_device(rotated, tmp_path))
    with pytest.raises(ServerUntrusted):
        await token_of(local_device(here, tmp_path))


async def test_a_device_learns_the_next_key_from_whatever_it_is_answered(tmp_path):
    next_key = keys.private_key(keys.new_private_key())

    here = world(devices={})
    enrolled = await enrol(local_device(here, tmp_path), join(here.claim()), FACTS, None)
    announced = World(here.settings, here.store, here.upstream, next_key=next_key)
    here.work(lambda c: devices.move(c, enrolled.device_id, audit.AuditAction.SUSPENDED, here.ms, "admin"))
    with pytest.raises(TokenRefused):
        await token_of(local_device(announced, tmp_path))
    here.work(lambda c: devices.move(c, enrolled.device_id, audit.AuditAction.RESUMED, here.ms, "admin"))
    rotated = World(here.settings, here.store, here.upstream, key=next_key)
    assert await token_of(local_device(rotated, tmp_path)) == TOKEN


async def test_a_device_and_a_join_string_that_know_the_old_key_alone_are_served_after_a_rotation(tmp_path):
    next_key = keys.private_key(keys.new_private_key())

    here = world(devices={})
    await enrol(local_device(here, tmp_path / "a"), join(here.claim()), FACTS, None)
    rotated = World(here.settings, here.store, here.upstream, key=next_key, previous_key=here.key)
    assert await token_of(local_device(rotated, tmp_path / "a")) == TOKEN
    await enrol(local_device(rotated, tmp_path / "b"), join(here.claim()), FACTS, None)
    dropped = World(here.settings, here.store, here.upstream, key=next_key)
    for name in ("a", "b"):
        assert await token_of(local_device(dropped, tmp_path / name)) == TOKEN


async def test_a_key_that_cannot_be_written_down_is_not_said_to_be_known(tmp_path, monkeypatch):
    next_key = keys.private_key(keys.new_private_key())

    def broken(self: PrivateDirectory, name: str, content: str) -> None:
        raise ConfigurationError("the card cannot be written")

    here = world(devices={})
    await enrol(local_device(here, tmp_path), join(here.claim()), FACTS, None)
    where = local_device(World(here.settings, here.store, here.upstream, next_key=next_key), tmp_path)
    async with where.client() as client:
        monkeypatch.setattr(PrivateDirectory, "write", broken)
        for _ in range(2):
            await client.fetch_token(Mode.HANDS_FREE, Purpose.NEW)
    known = here.work(lambda c: c.exec_driver_sql("SELECT server_key FROM device").scalar())
    assert known != keys.thumbprint(next_key)


async def test_settings_count_more_than_what_enrolment_has_left(tmp_path):
    here = world(devices={})
    await enrol(local_device(here, tmp_path), join(here.claim()), FACTS, None)
    moved = local_device(here, tmp_path, url="https://moved.test/")
    assert ProvisioningClient(moved.settings, tmp_path).url == "https://moved.test"
    assert await token_of(moved) == TOKEN
