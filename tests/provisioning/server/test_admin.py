"""The operator's commands, as they are typed."""

import io
import json
import os
import re
from contextlib import AbstractContextManager, nullcontext, redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import TextIO

import pytest

from appliance.errors import ExitCode
from appliance.provisioning.common import keys
from appliance.provisioning.common.join import read_join
from appliance.provisioning.common.protocol import ProblemCode, Purpose
from appliance.provisioning.server import policy
from appliance.provisioning.server.admin import actions
from appliance.provisioning.server.program import main as provisiond
from appliance.provisioning.server.schema import AUDIT
from appliance.provisioning.server.store import DatabaseStore, open_engine
from tests.support.provisioning import OPEN, InThisThread, World, put_empty_database, refused, server_settings, world

URL = "https://provisioning.test"


@pytest.fixture
def admin(tmp_path, capsys, monkeypatch):
    """Return a function that does a command and returns its exit code and output."""
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path))
    put_empty_database(tmp_path)

    def do(*arguments: str) -> tuple[int, str, str]:
        code = provisiond(["admin", *arguments])
        out, err = capsys.readouterr()
        return code, out, err

    return do


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("local_time", "no device has a tool 'local_time': "),
        ("get_time,set_volum", "did you mean set_volume?"),
        ("nothing like it", "there are get_time, end_conversation, set_volume, forget_conversation, google_search"),
    ],
)
def test_a_tool_that_no_device_has_is_told_with_what_there_is(admin, capsys, given, told):
    with pytest.raises(SystemExit):
        admin("policies", "set", "kids", "--tools", given)
    assert told in " ".join(capsys.readouterr().err.split())


def test_a_policy_without_tools_locks_that_in_the_token(admin, here):
    for listed, locked in (("", True), ("google_search", False), ("get_time, get_time", False)):
        admin("policies", "set", "kids", "--tools", listed)
        chosen = here.work(lambda c: policy.policy_for(c, "kids", policy.default_policy(here.settings)))
        assert chosen.tools == tuple(dict.fromkeys(name.strip() for name in listed.split(",") if name))
        assert policy.mint_spec(chosen, Purpose.NEW, here.now, "kitchen").has_tools is not locked


@pytest.fixture
def here(admin, tmp_path) -> World:
    """A server on the same database."""
    admin("claims", "list")
    store = DatabaseStore(open_engine(f"sqlite:///{tmp_path / 'provisiond.sqlite'}"), InThisThread())
    OPEN.append(store)
    return world(store=store, devices={})


def answer(result: tuple[int, str, str]):
    assert result[0] == ExitCode.OK, result
    return json.loads(result[1])


async def test_a_device_is_brought_in_with_what_the_command_prints(admin, here, tmp_path):
    made = answer(admin("--json", "claims", "create", "--url", URL, "--label", "kitchen", "--approval"))
    join = read_join(made["join"])
    key_file = tmp_path / "signing-key.pem"
    assert key_file.stat().st_mode & 0o777 == 0o600
    assert (join.url, join.server_key) == (URL, keys.thumbprint(keys.private_key(key_file.read_text())))
    key = keys.private_key(keys.new_private_key())

    device = (await here.enrol(join.claim.text(), key)).json()["device_id"]
    refused(await here.token(device=device, key=key), ProblemCode.DEVICE_PENDING)
    assert answer(admin("--json", "devices", "approve", device)) == {
        "id": device,
        "name": "kitchen",
        "status": "active",
    }
    assert (await here.token(device=device, key=key)).status_code == 200
    assert answer(admin("--json", "devices", "suspend", device))["status"] == "suspended"
    refused(await here.token(device=device, key=key), ProblemCode.DEVICE_SUSPENDED)
    assert answer(admin("--json", "devices", "resume", device))["status"] == "active"
    answer(admin("--json", "policies", "set", "children", "--sessions-day", "1", "--tools", "set_volume,get_time"))
    answer(admin("--json", "devices", "set-policy", device, "children"))
    refused(await here.token(device=device, key=key), ProblemCode.QUOTA_SESSIONS)
    shown = answer(admin("--json", "devices", "show", device))
    assert (shown["name"], shown["policy"], shown["claim_id"]) == ("kitchen", "children", join.claim.id)
    assert keys.thumbprint(key) in shown["keys"]
    (used,) = answer(admin("--json", "usage", "--days", "400"))
    assert (used["id"], used["sessions"], used["reserved_s"]) == (device, 1, 960)
    assert answer(admin("--json", "devices", "revoke", device))["status"] == "revoked"
    refused(await here.token(device=device, key=key), ProblemCode.SIGNATURE_INVALID)
    told = [row["action"] for row in answer(admin("--json", "audit", "tail", "-n", "50"))]
    assert told == [
        "claim-created",
        "enrolled",
        "approved",
        "suspended",
        "resumed",
        "policy-created",
        "policy-given",
        "revoked",
    ]
    assert admin("audit", "verify") == (ExitCode.OK, "audit  whole\n", "")


def test_people_get_tables_and_a_code_to_scan(admin):
    code, out, _ = admin("claims", "create", "--url", URL, "--hours", "1")
    assert code == ExitCode.OK
    lines = out.splitlines()
    join = next(line for line in lines if line.startswith("va1."))
    assert read_join(join).url == URL
    assert sum("█" in line for line in lines) > 20
    secret = read_join(join).claim.secret
    code, out, _ = admin("claims", "list")
    assert read_join(join).claim.id in out
    assert "uses left" in out
    assert secret not in out
    assert admin("devices", "list")[1] == "none\n"


def test_a_policy_keeps_what_is_not_given_again(admin):
    admin("policies", "set", "children", "--voice", "Puck", "--burst", "3")
    admin("policies", "set", "children", "--burst", "4")
    (row,) = answer(admin("--json", "policies", "list"))
    assert (row["version"], row["voice"], row["burst"], row["model"]) == (2, "Puck", 4, None)


def test_what_is_given_as_an_empty_text_is_as_in_the_settings_again(admin):
    admin("policies", "set", "kids", "--model", "m", "--burst", "3", "--max-session-s", "60", "--tools", "get_time")
    admin("policies", "set", "kids", "--model", "", "--burst", " ", "--max-session-s", "")
    (row,) = answer(admin("policies", "list", "--json"))
    assert [row[name] for name in ("model", "burst", "max_session_s", "tools")] == [None, None, None, '["get_time"]']
    store = DatabaseStore(open_engine(f"sqlite:///{os.environ['STATE_DIRECTORY']}/provisiond.sqlite"))
    OPEN.append(store)
    default = policy.default_policy(server_settings())
    assert store.transact_here(lambda c: policy.policy_for(c, "kids", default)) == replace(default, tools=("get_time",))
    admin("policies", "set", "kids", "--tools", "")
    assert answer(admin("policies", "list", "--json"))[0]["tools"] == "[]"


def test_the_longest_address_fits_a_join_string(admin, monkeypatch):
    url = "https://" + 197 * "x"
    assert read_join(answer(admin("claims", "create", "--url", url, "--json"))["join"]).url == url
    monkeypatch.setenv("PROVISIOND_PUBLIC_URL", url + "x")
    code, _, err = admin("claims", "create")
    assert (code, err) == (
        ExitCode.CONFIGURATION,
        "appliance-provisiond: public_url: too long for a join string\n",
    )


def into_a_full_disk() -> TextIO:
    return Path("/dev/full").open("w", encoding="utf-8")


def into_a_full_disk_line_by_line() -> TextIO:
    return io.TextIOWrapper(Path("/dev/full").open("wb", buffering=0), encoding="utf-8", write_through=True)


def to_nobody() -> TextIO:
    reader, writer = os.pipe()
    os.close(reader)
    return os.fdopen(writer, "w", encoding="utf-8")


def nowhere() -> AbstractContextManager[None]:
    return nullcontext()


@pytest.mark.parametrize("form", [(), ("--json",)])
@pytest.mark.parametrize("where", [into_a_full_disk, into_a_full_disk_line_by_line, to_nobody, nowhere])
def test_a_claim_whose_join_string_is_lost_is_ended_again(admin, where, form):
    with where() as out, redirect_stdout(out):
        code, _, err = admin("claims", "create", "--url", URL, *form)
    assert code == ExitCode.CANNOT_WRITE
    assert re.fullmatch(
        r"appliance-provisiond: the output cannot be written: .+; claim \w{6} was revoked again\n", err
    ), err
    (row,) = answer(admin("claims", "list", "--json"))
    assert row["revoked_at"]


def test_what_is_lost_of_another_answer_has_been_done_all_the_same(admin):
    with into_a_full_disk() as out, redirect_stdout(out):
        code, _, err = admin("policies", "set", "kids")
    assert (code, err.count("\n")) == (ExitCode.CANNOT_WRITE, 1)
    assert len(answer(admin("policies", "list", "--json"))) == 1


@pytest.mark.parametrize("where", [to_nobody, nowhere])
def test_a_list_that_nobody_reads_is_no_failure(admin, where):
    with where() as out, redirect_stdout(out):
        assert admin("policies", "list") == (ExitCode.OK, "", "")


def test_every_command_takes_json_behind_it_as_well(admin):
    for command in (("claims", "list"), ("usage",), ("audit", "tail")):
        assert answer(admin(*command, "--json")) == answer(admin("--json", *command)) == []


@pytest.mark.parametrize(
    ("login", "sudo", "person"),
    [
        ("54322", "54323", ", login of uid 54322"),
        ("54321", "54323", ""),
        ("4294967295", "54323", ", sudo of uid 54323"),
        (None, "54323", ", sudo of uid 54323"),
        (None, "54321", ""),
        (None, "anna", ""),
        (None, "9" * 40, ""),
        (None, "9999999999", ", sudo of uid 9999999999"),
    ],
)
def test_the_person_behind_the_services_user_is_noted_too(admin, monkeypatch, tmp_path, login, sudo, person):
    monkeypatch.setattr(actions, "LOGIN", tmp_path / "loginuid")
    if login is not None:
        actions.LOGIN.write_text(login)
    monkeypatch.setenv("SUDO_UID", sudo)
    monkeypatch.setattr("os.getuid", lambda: 54321)
    admin("policies", "set", "kids")
    (row,) = answer(admin("audit", "tail", "--json"))
    assert row["actor"] == f"admin uid 54321{person}"


def test_a_user_without_a_name_is_noted_by_its_number(admin, monkeypatch, tmp_path):
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("SUDO_UID", raising=False)
    monkeypatch.setattr(actions, "LOGIN", tmp_path / "absent")
    monkeypatch.setattr("os.getuid", lambda: 54321)
    admin("policies", "set", "kids")
    (row,) = answer(admin("audit", "tail", "--json"))
    assert row["actor"] == "admin uid 54321"


def test_a_claim_can_be_ended_once(admin):
    claim = answer(admin("--json", "claims", "create", "--url", URL))["claim"]
    assert admin("claims", "revoke", claim)[0] == ExitCode.OK
    code, _, err = admin("claims", "revoke", claim)
    assert (code, err) == (
        ExitCode.NO_INPUT,
        f"appliance-provisiond: there is no claim {claim} that could be revoked\n",
    )


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("devices", "show", "x"), ExitCode.NO_INPUT, "there is no device x"),
        (("devices", "suspend", "x"), ExitCode.NO_INPUT, "there is no device x"),
        (("devices", "set-policy", "x", "none"), ExitCode.NO_INPUT, "there is no device x"),
        (("devices", "set-policy", "x", "y"), ExitCode.NO_INPUT, "there is no device x"),
        (("claims", "create", "--url", URL, "--policy", "y"), ExitCode.NO_INPUT, "there is no policy y"),
        (("claims", "create"), ExitCode.CONFIGURATION, "public_url: not set"),
        (("--config", "/absent.toml", "devices", "list"), ExitCode.CONFIGURATION, "/absent.toml: cannot be read"),
    ],
)
def test_what_cannot_be_done_is_one_line(admin, arguments, code, said):
    got, out, err = admin(*arguments)
    assert (got, out) == (code, "")
    assert err.startswith(f"appliance-provisiond: {said}")
    assert err.count("\n") == 1


async def test_a_device_in_another_state_is_told_apart_from_one_that_is_not_there(admin, here):
    key = keys.private_key(keys.new_private_key())
    device = (await here.enrol(here.claim(), key)).json()["device_id"]
    assert "is already active; only pending devices can be approved" in admin("devices", "approve", device)[2]


def test_the_audit_is_held_against_a_mark_that_was_kept(admin, here, monkeypatch):
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.setenv(name, "somebody else")
    admin("policies", "set", "x")
    mark = answer(admin("--json", "audit", "head"))["head"]
    admin("policies", "set", "y")
    assert admin("audit", "verify", "--head", mark) == (ExitCode.OK, "audit  whole\n", "")
    other = f"1:{'0' * 64}"
    code, out, _ = admin("audit", "verify", "--head", other)
    assert (code, out) == (ExitCode.DATA, "audit  cut off, or written anew: entry 1 was another\n")
    actors = {row["actor"] for row in answer(admin("--json", "audit", "tail"))}
    assert len(actors) == 1
    assert f"uid {os.getuid()}" in actors.pop()
    with pytest.raises(SystemExit):
        admin("audit", "verify", "--head", "12")


def test_a_broken_audit_is_told_by_the_exit_code(admin, here):
    admin("policies", "set", "x")
    here.work(lambda c: c.execute(AUDIT.update().values(actor="somebody else")))
    assert admin("audit", "verify") == (ExitCode.DATA, "audit  broken at entry 1\n", "")


@pytest.mark.parametrize(
    "arguments",
    [
        ("policies", "set", "a b"),
        ("claims", "create", "--uses", "0"),
        ("claims", "create", "--hours", "nan"),
        ("claims", "create", "--hours", "-3"),
        ("claims", "create", "--url", "http://provisioning.test"),
        ("claims", "create", "--url", "not-a-url"),
        ("claims", "create", "--url", "https://küche.local"),
        ("claims", "create", "--url", "https://" + 198 * "x"),
        ("claims", "create", "--url", URL, "--label", "caf\udce9"),
        ("claims", "create", "--url", URL, "--label", 81 * "x"),
        ("claims", "create", "--url", URL, "--label", "two\nlines"),
        ("devices", "show", "caf\udce9"),
        ("policies", "set", "kids", "--max-session-s", "3601"),
        ("policies", "set", "kids", "--max-session-s", "0"),
        ("policies", "set", "kids", "--model", 121 * "x"),
        ("policies", "set", "kids", "--model", "two\nlines"),
        ("policies", "set", "kids", "--voice", 81 * "x"),
        ("policies", "set", "kids", "--language", 41 * "x"),
        ("policies", "set", "kids", "--instruction", 20_001 * "x"),
        ("policies", "set", "kids", "--tools", "set volume"),
        ("usage", "--days", "99999999999"),
        ("nothing",),
        (),
    ],
)
def test_a_wrong_command_is_explained(admin, arguments):
    with pytest.raises(SystemExit) as caught:
        admin(*arguments)
    assert caught.value.code == ExitCode.USAGE
