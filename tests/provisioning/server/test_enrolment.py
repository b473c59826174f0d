import httpx2
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from sqlalchemy import select

from appliance.provisioning.common import keys
from appliance.provisioning.common.join import read_claim
from appliance.provisioning.common.protocol import DeviceStatus, EnrolResponse, ProblemCode
from appliance.provisioning.server import audit, claims, devices
from appliance.provisioning.server.schema import CLAIM, DEVICE
from tests.support.provisioning import SERVER_KEY, World, refused, world

FACTS = {"name": "kitchen", "device": {"model": "Raspberry Pi 4", "serial_sha256": "ab" * 32, "os": "debian-13"}}


def new_key() -> keys.PrivateKey:
    return keys.private_key(keys.new_private_key())


def actions(here: World) -> list[str]:
    return [row.action for row in here.work(lambda c: list(audit.last(c, 100)))]


@pytest.mark.parametrize("key", [new_key(), ec.generate_private_key(ec.SECP256R1())], ids=["ed25519", "p256"])
async def test_a_device_with_a_claim_becomes_one_and_is_given_tokens(key):
    here = world()
    response = await here.enrol(here.claim(label="bought 2026"), key, more=FACTS)
    assert response.status_code == 201
    answer = EnrolResponse.model_validate_json(response.content)
    assert answer.status is DeviceStatus.ACTIVE
    assert [kept.kid for kept in answer.server_keys] == [keys.thumbprint(SERVER_KEY)]
    assert answer.limits.sessions_day == 120
    token = await here.token(device=answer.device_id, key=key)
    assert token.status_code == 200
    row = here.work(lambda c: c.execute(select(DEVICE).where(DEVICE.c.id == answer.device_id)).one())
    assert (row.name, row.model, row.os, row.origin) == ("kitchen", "Raspberry Pi 4", "debian-13", "claim")


async def test_a_device_that_lost_the_answer_gets_it_again_even_when_the_claim_is_over():
    here, key = world(), new_key()
    claim = here.claim()
    first = await here.enrol(claim, key)
    here.later(hours=25)
    second = await here.enrol(claim, key)
    assert (first.status_code, second.status_code) == (201, 200)
    assert first.json()["device_id"] == second.json()["device_id"]
    here.work(lambda c: claims.revoke(c, read_claim(claim).id, here.ms, "admin"))
    assert (await here.enrol(claim, key)).status_code == 200
    assert actions(here) == ["claim-created", "enrolled", "claim-revoked"]


async def test_every_claim_that_is_not_good_is_refused_alike():
    here = world()
    known, used, expired, revoked, locked = (here.claim() for _ in range(5))
    assert (await here.enrol(used, new_key())).status_code == 201
    here.work(lambda c: claims.revoke(c, read_claim(revoked).id, here.ms, "admin"))
    for _ in range(claims.MAX_FAILURES):
        here.work(lambda c: claims.count_failure(c, read_claim(locked).id, here.ms))
    here.work(
        lambda c: c.execute(CLAIM.update().where(CLAIM.c.id == read_claim(expired).id).values(expires_at=here.ms))
    )
    wrong_secret = f"{known[:7]}{used[7:]}"
    unknown = f"{'zzzzzz' if known[:6] != 'zzzzzz' else 'yyyyyy'}{known[6:]}"
    answers = []
    for claim in (used, expired, revoked, locked, wrong_secret, unknown, "not a claim", "K7M2QD.0000000000000000Z"):
        other = World(here.settings, here.store, here.upstream)
        answers.append(await other.enrol(claim, new_key()))
        refused(answers[-1], ProblemCode.CLAIM_INVALID)
    assert len({answer.content for answer in answers}) == 1
    assert len({tuple(sorted(answer.headers)) for answer in answers}) == 1
    assert actions(here).count("claim-reused") == 1
    assert actions(here).count("claim-locked") == 1
    # None of them has used up the claim that is good.
    assert (await here.enrol(known, new_key())).status_code == 201


async def test_twenty_wrong_secrets_lock_a_claim_and_the_owner_is_told():
    here = world()
    claim, other = here.claim(), here.claim()
    for _ in range(claims.MAX_FAILURES):
        guess = World(here.settings, here.store, here.upstream)
        refused(await guess.enrol(f"{claim[:7]}{other[7:]}", new_key()), ProblemCode.CLAIM_INVALID)
    refused(await here.enrol(claim, new_key()), ProblemCode.CLAIM_INVALID)
    assert "claim-locked" in actions(here)


async def test_guesses_from_one_address_are_slowed_down():
    here = world()
    for _ in range(5):
        refused(await here.enrol("zzzzzz.0000000000000000", new_key()), ProblemCode.CLAIM_INVALID)
    problem = refused(await here.enrol("zzzzzz.0000000000000000", new_key()), ProblemCode.RATE_LIMITED)
    assert problem.retry_after
    assert 1 <= problem.retry_after <= 60
    # Others there, who have a good claim, are not.
    assert (await here.enrol(here.claim(), new_key())).status_code == 201


async def test_guesses_at_a_claim_slow_down_nobody_elsewhere():
    here = world()
    claim, other = here.claim(), here.claim()
    guess = f"{claim[:7]}{other[7:]}"
    for _ in range(5):
        refused(await here.enrol(guess, new_key()), ProblemCode.CLAIM_INVALID)
    refused(await here.enrol(claim, new_key()), ProblemCode.RATE_LIMITED)
    here.transport = httpx2.ASGITransport(here.app, client=("192.0.2.1", 1))
    assert (await here.enrol(claim, new_key())).status_code == 201


async def test_a_claim_that_is_presented_again_and_again_is_told_once_a_day():
    here = world()
    claim = here.claim()
    assert (await here.enrol(claim, new_key())).status_code == 201
    for hours in (0, 1, 1, 24):
        here.later(hours=hours)
        other = World(here.settings, here.store, here.upstream, here.now)
        refused(await other.enrol(claim, new_key()), ProblemCode.CLAIM_INVALID)
    assert actions(here).count("claim-reused") == 2


async def test_a_claim_for_several_is_good_for_so_many():
    here = world()
    claim = here.claim(uses=2)
    answers = [await here.enrol(claim, new_key()) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [201, 201, 403]
    assert len({answer.json().get("device_id") for answer in answers[:2]}) == 2


async def test_with_approval_a_device_waits_until_it_is_let_in():
    here, key = world(), new_key()
    answer = (await here.enrol(here.claim(needs_approval=True), key)).json()
    device = answer["device_id"]
    assert answer["status"] == "pending"
    refused(await here.token(device=device, key=key), ProblemCode.DEVICE_PENDING)
    assert (await here.ask("GET", "/v1/device", device=device, key=key)).json()["status"] == "pending"
    here.work(lambda c: devices.move(c, device, audit.AuditAction.APPROVED, here.ms, "admin"))
    assert (await here.token(device=device, key=key)).status_code == 200


async def test_a_key_belongs_to_one_device_and_a_revoked_one_never_comes_back():
    here, key = world(), new_key()
    first = here.claim()
    device = (await here.enrol(first, key)).json()["device_id"]
    refused(await here.enrol(here.claim(), key), ProblemCode.CLAIM_INVALID)
    here.work(lambda c: devices.move(c, device, audit.AuditAction.REVOKED, here.ms, "admin"))
    refused(await here.enrol(first, key), ProblemCode.CLAIM_INVALID)


async def test_a_device_has_to_prove_that_the_key_is_its_own():
    here, mine, theirs = world(), new_key(), new_key()
    claim = here.claim()
    refused(await here.enrol(claim, theirs, key=mine, device=keys.thumbprint(theirs)), ProblemCode.SIGNATURE_INVALID)
    refused(await here.enrol(claim, theirs, device="another"), ProblemCode.SIGNATURE_INVALID)
    assert (await here.enrol(claim, theirs)).status_code == 201


async def test_a_point_off_the_curve_is_no_key():
    here, key = world(), new_key()
    off = {"kty": "EC", "crv": "P-256", "x": "A" * 43, "y": "A" * 43}
    refused(await here.enrol(here.claim(), key, more={"public_key": off}), ProblemCode.INVALID_REQUEST)
    mixed = {"kty": "EC", "crv": "Ed25519", "x": "A" * 43}
    refused(await here.enrol(here.claim(), key, more={"public_key": mixed}), ProblemCode.INVALID_REQUEST)


async def test_the_claim_is_in_no_log(caplog):
    here = world()
    claim = here.claim()
    with caplog.at_level("DEBUG"):
        await here.enrol(claim, new_key())
        await here.enrol(claim, new_key())
        await here.enrol(f"{claim[:-1]}", new_key())
    assert read_claim(claim).id in caplog.text
    assert read_claim(claim).secret not in caplog.text


async def test_no_name_reaches_the_operators_terminal_that_could_steer_it():
    here, key = world(), new_key()
    for name in ("\x1b[2J", "a\nb", "\x9b31m", "x" * 81, ""):
        refused(await here.enrol(here.claim(), key, more={"name": name}), ProblemCode.INVALID_REQUEST)
    sent = {"user-agent": b"voice-appliance/1 \x9b31m\xff"}
    assert (await here.enrol(here.claim(), key, headers=sent)).status_code == 201
    assert here.work(lambda c: c.execute(select(DEVICE.c.agent).where(DEVICE.c.origin == "claim")).scalar()) == (
        "voice-appliance/1 31m"
    )
