"""Replacement of the server's own key."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import httpx2
import pytest
from pydantic import ConfigDict, create_model

from appliance.errors import ConfigurationError, ExitCode
from appliance.provisioning.common import keys, signatures
from appliance.provisioning.common.protocol import TOKENS_PATH, TRUSTED_KEYS_HEADER, KeyNamingAnswer, TokenResponse
from appliance.provisioning.server import audit, devices, identity
from appliance.provisioning.server.app import create_app
from appliance.provisioning.server.identity import own_key
from appliance.provisioning.server.program import main as provisiond
from appliance.provisioning.server.store import DatabaseStore, open_engine
from tests.support.provisioning import (
    ASKED,
    OPEN,
    SERVER,
    TOKEN,
    FakeUpstream,
    InThisThread,
    World,
    post,
    put_empty_database,
    server_settings,
    signed_headers,
    world,
)
from tests.support.provisioning import DEVICE as KITCHEN


@pytest.fixture
def admin(tmp_path, capsys, monkeypatch):
    """Return a function that does a command about keys and returns its exit code and output."""
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path))
    put_empty_database(tmp_path)

    def do(*arguments: str):
        code = provisiond(["admin", "--json", "keys", *arguments])
        out, err = capsys.readouterr()
        return code, json.loads(out) if out else err

    return do


@pytest.fixture
def here(admin, tmp_path) -> World:
    """A server on the same database, with one device, now; it was started before anything is done about keys."""
    admin("show")
    store = DatabaseStore(open_engine(f"sqlite:///{tmp_path / 'provisiond.sqlite'}"), InThisThread())
    OPEN.append(store)
    made = World(server_settings(state_dir=tmp_path), store, FakeUpstream())
    made.work(lambda c: devices.apply_settings(c, made.settings.devices, made.ms))
    made.now = datetime.now(UTC)
    start_again(made)
    return made


def start_again(here: World) -> None:
    """Start the server with the keys that lie in the state directory now."""
    settings = here.settings
    here.parts = replace(
        here.parts,
        key=identity.signing_key(settings),
        next_key=identity.next_key(settings),
        previous_key=identity.previous_key(settings),
    )
    here.transport = httpx2.ASGITransport(create_app(here.parts))


def signed_with(response: httpx2.Response) -> str:
    found = signatures.answer_parameters(response.headers)
    assert found
    return found.key_id


def named(response: httpx2.Response) -> list[str]:
    return [key.kid for key in KeyNamingAnswer.model_validate_json(response.content).server_keys]


async def test_the_next_key_signs_once_every_device_says_that_it_knows_it(admin, here):
    _, before = admin("show")
    assert (before["announced"], before["previous"], before["unheard"]) == (None, None, None)
    code, announced = admin("announce")
    assert (code, announced["signs"], announced["unheard"]) == (ExitCode.OK, before["signs"], 1)
    old, new = announced["signs"], announced["announced"]
    assert new not in {None, old}
    assert admin("announce") == (code, announced)

    async def ask(trusted: str) -> httpx2.Response:
        response: httpx2.Response = await here.token(headers={TRUSTED_KEYS_HEADER: trusted})
        return response

    # Whatever a device asks of a server that has not been started again: nobody has told it.
    assert named(await ask(old)) == [old]
    code, words = admin("rotate")
    assert code == ExitCode.DATA
    assert "enrol again: 1; wait" in words
    start_again(here)
    assert named(await ask(old)) == [old, new]
    assert admin("show")[1]["unheard"] == 1  # the answer may have been lost
    await ask(f"{old}, {new}")
    rotated = {"signs": new, "announced": None, "previous": old, "unheard": 0}
    assert admin("rotate") == (ExitCode.OK, rotated)
    assert admin("rotate")[0] == ExitCode.NO_INPUT


async def test_an_older_device_counts_as_told_by_the_one_answer_that_it_reads(admin, here):
    admin("announce")
    start_again(here)
    await here.token()
    assert admin("rotate")[0] == ExitCode.DATA
    await here.ask("GET", "/v1/device")
    assert admin("rotate")[0] == ExitCode.OK


def test_every_device_that_may_come_back_has_to_be_told(admin, here):
    admin("announce")
    for action in (audit.AuditAction.SUSPENDED, audit.AuditAction.REVOKED):
        here.work(lambda c, action=action: devices.move(c, KITCHEN, action, here.ms, "admin"))
        waits = action is audit.AuditAction.SUSPENDED
        assert admin("rotate")[0] == (ExitCode.DATA if waits else ExitCode.OK)


async def test_a_device_that_was_left_behind_is_answered_with_the_key_that_it_knows(admin, here):
    old = admin("announce")[1]["signs"]
    new = admin("rotate", "--leave-behind")[1]["signs"]
    start_again(here)

    behind = await here.token(headers={TRUSTED_KEYS_HEADER: old})
    assert (signed_with(behind), named(behind)) == (old, [new, old])
    assert signed_with(await here.token(headers={TRUSTED_KEYS_HEADER: f"{new},{old}"})) == new
    assert signed_with(await here.token()) == new
    assert signed_with(await here.token(headers={TRUSTED_KEYS_HEADER: "of another server"})) == new


def test_a_rotation_can_be_undone_and_done_again(admin, here):
    assert admin("undo")[0] == ExitCode.NO_INPUT
    announced = admin("announce")[1]
    admin("rotate", "--leave-behind")
    code, undone = admin("undo")
    assert (code, undone) == (ExitCode.OK, announced)
    assert admin("undo")[0] == ExitCode.NO_INPUT
    assert admin("rotate", "--leave-behind")[1]["signs"] == announced["announced"]
    actions = [entry.action for entry in here.work(lambda c: list(audit.last(c, 9)))]
    assert actions == ["server-key-announced", "server-key-rotated", "server-key-restored", "server-key-rotated"]


async def test_the_previous_key_is_dropped_once_every_device_knows_a_newer_one(admin, here):
    assert admin("drop")[0] == ExitCode.NO_INPUT
    admin("announce")
    new = admin("rotate", "--leave-behind")[1]["signs"]
    start_again(here)
    assert admin("drop")[0] == ExitCode.DATA
    await here.token(headers={TRUSTED_KEYS_HEADER: new})
    newest = admin("announce")[1]["announced"]
    assert admin("drop")[1] == {"signs": new, "announced": newest, "previous": None, "unheard": 1}
    start_again(here)
    assert named(await here.token()) == [new, newest]


async def test_after_a_theft_both_keys_are_exchanged_at_once_and_the_server_starts(admin, here):
    old = admin("show")[1]["signs"]
    await here.token(headers={TRUSTED_KEYS_HEADER: old})
    admin("announce")
    new = admin("rotate", "--leave-behind")[1]["signs"]
    assert admin("drop", "--leave-behind")[0] == ExitCode.OK
    assert admin("show")[1]["signs"] == new
    start_again(here)
    assert here.work(lambda c: own_key(c, here.settings)) is not None
    assert signed_with(await here.token(headers={TRUSTED_KEYS_HEADER: old})) == new


async def test_undone_is_only_a_rotation_after_which_no_other_key_was_announced(admin, here):
    admin("announce")
    start_again(here)
    await here.ask("GET", "/v1/device")
    admin("rotate")
    announced = admin("announce")[1]
    start_again(here)
    await here.token(headers={TRUSTED_KEYS_HEADER: ",".join(map(str, announced.values()))})
    code, words = admin("undo")
    assert (code, "`keys rotate`" in words) == (ExitCode.DATA, True)
    assert admin("show") == (ExitCode.OK, {**announced, "unheard": 0})


async def test_devices_that_two_rotations_leave_behind_do_not_keep_the_server_from_starting(admin, here):
    old = admin("show")[1]["signs"]
    await here.token(headers={TRUSTED_KEYS_HEADER: old})
    for _ in range(2):
        admin("announce")
        code, shown = admin("rotate", "--leave-behind")
        assert (code, shown["unheard"]) == (ExitCode.OK, 1)
    start_again(here)
    assert here.work(lambda c: own_key(c, here.settings)) is not None


@pytest.mark.parametrize("steps", [1, 2])
def test_a_rotation_that_a_power_cut_ends_is_finished_by_doing_it_again(admin, here, monkeypatch, steps):
    announced = admin("announce")[1]
    renamed = Path.replace
    left = [steps]

    def replace_until_cut(self: Path, target: Path) -> Path:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(5, "power cut")
        return renamed(self, target)

    monkeypatch.setattr(Path, "replace", replace_until_cut)
    admin("rotate", "--leave-behind")
    monkeypatch.undo()
    monkeypatch.setenv("STATE_DIRECTORY", str(here.settings.state_dir))
    admin("rotate", "--leave-behind")
    shown = admin("show")[1]
    assert (shown["signs"], shown["previous"]) == (announced["announced"], announced["signs"])


async def test_every_signed_answer_with_a_body_names_the_keys(admin, here):
    both = admin("announce")[1]
    start_again(here)

    rotate = {"public_key": {"kty": "OKP", "crv": "Ed25519", "x": "A" * 43}, "proof": "short"}
    answers = [
        await here.token(),
        await here.ask("GET", "/v1/device"),
        await here.ask("GET", "/v1/nothing"),
        await here.ask("POST", "/v1/device/rotate", rotate),
        await here.token(device="nobody"),
        await here.enrol(here.claim(), keys.private_key(keys.new_private_key())),
    ]
    here.parts.drain.begin()
    answers.append(await here.token())
    assert [answer.status_code for answer in answers] == [200, 200, 404, 422, 401, 201, 503]
    for answer in answers:
        assert named(answer) == [both["signs"], both["announced"]]
        assert signed_with(answer) == both["signs"]


async def test_an_older_device_takes_an_answer_that_names_keys_and_does_not_read_them():
    """It knows neither the field nor the header; the signature has the form that it asks for."""
    before = {
        name: (field.annotation, field) for name, field in TokenResponse.model_fields.items() if name != "server_keys"
    }
    older = create_model("Older", __config__=ConfigDict(extra="ignore"), **before)  # type: ignore[call-overload]

    made = world(previous_key=keys.private_key(keys.new_private_key()))
    headers = signed_headers()
    response = await post(made.transport, headers)
    asked = signatures.SignedRequest("POST", f"{SERVER}{TOKENS_PATH}", headers, ASKED)
    answered = signatures.SignedAnswer(response.status_code, dict(response.headers), response.content)
    signatures.verify_answer(answered, asked, {keys.thumbprint(made.key): made.key.public_key()})
    assert older.model_validate_json(response.content).model_dump()["token"].get_secret_value() == TOKEN


def test_the_next_key_of_a_credential_lies_beside_it_and_is_not_made_here(tmp_path, monkeypatch):
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    settings = server_settings(state_dir=tmp_path / "state")
    for name in ("signing-key", "next-signing-key"):
        (tmp_path / name).write_text(keys.new_private_key(), encoding="ascii")
    read = [identity.signing_key(settings), identity.next_key(settings)]
    assert len({keys.thumbprint(key) for key in read if key}) == 2
    assert not (tmp_path / "state").exists()


def test_a_next_key_that_is_none_is_a_wrong_setting(tmp_path):
    settings = server_settings(state_dir=tmp_path)
    identity.signing_key(settings)
    (tmp_path / "next-signing-key.pem").write_text("nonsense", encoding="ascii")
    with pytest.raises(ConfigurationError, match=r"next-signing-key\.pem"):
        identity.next_key(settings)
