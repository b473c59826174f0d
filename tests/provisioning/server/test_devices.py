"""A device's requests about itself: its state, another key, its removal, and the fate of its sessions."""

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from sqlalchemy import select

from appliance.provisioning.common import keys
from appliance.provisioning.common.protocol import DeviceView, ProblemCode
from appliance.provisioning.server import audit, devices
from appliance.provisioning.server.schema import DEVICE, SESSION, USAGE
from tests.support.provisioning import DEVICE as KITCHEN
from tests.support.provisioning import KEY, World, refused, world


def new_key() -> keys.PrivateKey:
    return keys.private_key(keys.new_private_key())


def rotation(here: World, new: keys.PrivateKey, old: keys.PrivateKey = KEY, **changed: object) -> dict[str, object]:
    text = keys.rotation_text(KITCHEN, keys.thumbprint(old), keys.thumbprint(new), here.sequence + 1)
    proof = base64.b64encode(keys.sign_bytes(new, text)).decode()
    return {"public_key": keys.jwk(new).model_dump(exclude_none=True), "proof": proof, **changed}


async def test_a_device_asks_how_it_stands_even_when_it_is_suspended():
    here = world(latest_agent_version="1.4")
    view = DeviceView.model_validate_json((await here.ask("GET", "/v1/device")).content)
    assert (view.device_id, view.status, view.latest_agent_version) == (KITCHEN, "active", "1.4")
    assert view.limits.max_session_s == 900
    here.work(lambda c: devices.move(c, KITCHEN, audit.AuditAction.SUSPENDED, here.ms, "admin"))
    assert (await here.ask("GET", "/v1/device")).json()["status"] == "suspended"


@pytest.mark.parametrize("new", [new_key(), ec.generate_private_key(ec.SECP256R1())], ids=["ed25519", "p256"])
async def test_after_a_rotation_both_keys_are_good_until_the_new_one_is_used(new):
    here = world()
    response = await here.ask("POST", "/v1/device/rotate", rotation(here, new))
    assert response.json()["thumbprint"] == keys.thumbprint(new)
    # Again, as after a lost answer.
    assert (await here.ask("POST", "/v1/device/rotate", rotation(here, new))).status_code == 200
    assert (await here.token()).status_code == 200
    assert (await here.token(key=new)).status_code == 200
    refused(await here.token(), ProblemCode.SIGNATURE_INVALID)
    assert (await here.token(key=new)).status_code == 200


async def test_a_rotation_is_proved_by_the_new_key():
    here, new, other = world(), new_key(), new_key()
    for wrong in (
        rotation(here, new, proof=base64.b64encode(bytes(64)).decode()),
        rotation(here, new, old=other),
        rotation(here, new, public_key=keys.jwk(other).model_dump(exclude_none=True)),
        rotation(here, new, public_key={"kty": "EC", "crv": "P-256", "x": "A" * 43, "y": "A" * 43}),
        rotation(here, new, proof="short"),
    ):
        refused(await here.ask("POST", "/v1/device/rotate", wrong), ProblemCode.INVALID_REQUEST)
    refused(await here.token(key=new), ProblemCode.SIGNATURE_INVALID)


async def test_a_second_rotation_takes_the_place_of_one_that_was_not_used():
    here, first, second = world(), new_key(), new_key()
    for new in (first, second):
        assert (await here.ask("POST", "/v1/device/rotate", rotation(here, new))).status_code == 200
    refused(await here.token(key=first), ProblemCode.SIGNATURE_INVALID)
    assert (await here.token(key=second)).status_code == 200
    # A key that was somebody's never becomes anybody's again.
    back = rotation(here, first, old=second)
    refused(await here.ask("POST", "/v1/device/rotate", back, key=second), ProblemCode.INVALID_REQUEST)


async def test_a_device_brings_ten_keys_a_day_and_no_more():
    here = world()
    answers = [await here.ask("POST", "/v1/device/rotate", rotation(here, new_key())) for _ in range(11)]
    assert [answer.status_code for answer in answers] == [200] * 9 + [429] * 2  # the first of its keys is of today
    here.later(hours=25)
    assert (await here.ask("POST", "/v1/device/rotate", rotation(here, new_key()))).status_code == 200


async def test_a_factory_reset_ends_the_device_and_forgets_what_is_personal():
    here = world()
    await here.token()
    assert (await here.ask("DELETE", "/v1/device")).status_code == 204
    refused(await here.ask("GET", "/v1/device"), ProblemCode.SIGNATURE_INVALID)
    row = here.work(lambda c: c.execute(select(DEVICE)).one())
    assert (row.status, row.name, row.model, row.serial_sha256, row.agent) == ("revoked", None, None, None, None)
    assert [entry.action for entry in here.work(lambda c: list(audit.last(c, 5)))] == ["reset"]


async def test_what_became_of_a_session_is_kept_once():
    here = world()
    session = (await here.token()).json()["session_id"]
    path = f"/v1/sessions/{session}/events"
    for event in (
        {"type": "started"},
        {"type": "ended", "reason": "idle", "seconds": 83, "reconnects": 1},
        {"type": "ended", "reason": "idle", "seconds": 83, "reconnects": 1},
    ):
        response = await here.ask("POST", path, event)
        assert response.status_code == 200
    row = here.work(lambda c: c.execute(select(SESSION)).one())
    assert (row.outcome, row.reported_s, row.started_at) == ("ended idle", 83, here.ms)
    assert here.work(lambda c: c.execute(select(USAGE.c.reported_s)).scalar()) == 83


@pytest.mark.parametrize(
    ("event", "code"),
    [
        ({"type": "ended", "transcript": "what was said"}, ProblemCode.INVALID_REQUEST),
        ({"type": "ended", "reason": "What Was Said"}, ProblemCode.INVALID_REQUEST),
        ({"type": "ended", "seconds": -1}, ProblemCode.INVALID_REQUEST),
        ({"type": "ended"}, ProblemCode.NOT_FOUND),
    ],
)
async def test_a_report_of_anything_else_is_refused(event, code):
    here = world()
    refused(await here.ask("POST", f"/v1/sessions/ses_{'0' * 26}/events", event), code)
    refused(await here.ask("POST", "/v1/sessions/mine/events", {"type": "ended"}), ProblemCode.INVALID_REQUEST)


async def test_a_session_is_its_devices_own():
    here, key = world(), new_key()
    session = (await here.token()).json()["session_id"]
    other = (await here.enrol(here.claim(), key)).json()["device_id"]
    response = await here.ask("POST", f"/v1/sessions/{session}/events", {"type": "ended"}, device=other, key=key)
    refused(response, ProblemCode.NOT_FOUND)
