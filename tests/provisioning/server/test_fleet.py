"""Devices as an operator speaks of them, and lists that a terminal has room for."""

import io
import json
import time
from collections.abc import Mapping
from functools import partial

import pytest
from rich.console import Console
from sqlalchemy import Connection, Table

from appliance.errors import ExitCode
from appliance.provisioning.server.admin import show
from appliance.provisioning.server.program import main as provisiond
from appliance.provisioning.server.schema import DEVICE, DEVICE_KEY, SESSION, USAGE
from appliance.provisioning.server.store import DatabaseStore, open_engine
from tests.support.provisioning import OPEN, InThisThread, put_empty_database

DAY_MS = 86_400_000
NOW_MS = 1_795_176_000_000


@pytest.fixture
def admin(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path))
    put_empty_database(tmp_path)

    def do(*arguments: str) -> tuple[int, str, str]:
        code = provisiond(["admin", *arguments])
        out, err = capsys.readouterr()
        return code, out, err

    assert do("keys", "show")[0] == 0
    store = DatabaseStore(open_engine(f"sqlite:///{tmp_path / 'provisiond.sqlite'}"), InThisThread())
    OPEN.append(store)
    fleet = [
        ("dev_" + "a" * 26, "Kitchen", "active", None),
        ("dev_" + "b" * 26, "kitchen", "revoked", None),
        ("dev_ab" + "c" * 24, "Kids' room", "active", "children"),
        ("dev_" + "d" * 26, "hall", "active", None),
        ("dev_" + "e" * 26, "hall", "pending", None),
        ("dev_" + "f" * 26, None, "suspended", None),
        ("hall%", "Überhang", "revoked", None),
    ]
    for number, (device, name, status, policy) in enumerate(fleet):
        row = {"id": device, "name": name, "status": status, "policy": policy, "origin": "claim", "created_at": 1}
        row |= {"last_sequence": 1, "conflicts": 0, "last_seen_at": NOW_MS - number * DAY_MS}
        store.transact_here(partial(insert, table=DEVICE, row=row))
    return do


def insert(connection: Connection, table: Table, row: Mapping[str, object]) -> None:
    connection.execute(table.insert().values(**row))


def found(admin, text: str) -> str:
    code, out, err = admin("--json", "devices", "show", text)
    return str(json.loads(out)["id"]) if code == 0 else str(err.partition(": ")[2].strip())


@pytest.mark.parametrize(
    ("text", "device"),
    [
        ("dev_" + "a" * 26, "dev_" + "a" * 26),
        ("kitchen", "dev_" + "a" * 26),
        ("KITCH", "dev_" + "a" * 26),
        ("dev_aa", "dev_" + "a" * 26),
        ("dev_ab", "dev_ab" + "c" * 24),
        ("kids", "dev_ab" + "c" * 24),
        ("dev_b", "dev_" + "b" * 26),
        ("hall%", "hall%"),
        ("Überhang", "hall%"),
        ("Über", "hall%"),
        ("hal_", "there is no device hal_"),
        ("stable", "there is no device stable"),
        ("", "no device is named: give its id, its name, or the beginning of either"),
        ("hall", f"hall fits several devices: dev_{'d' * 26} (hall), dev_{'e' * 26} (hall)"),
    ],
)
def test_a_device_is_found_by_id_by_name_or_by_the_beginning_of_either(admin, text, device):
    assert found(admin, text) == device


def test_what_fits_many_names_some_of_them(admin):
    told = found(admin, "d")
    assert told.startswith("d fits several devices: ")
    assert found(admin, "dev_").count(" (") == 5


def test_a_device_that_has_enrolled_many_times_is_found_by_its_name(admin):
    row = {"policy": None, "origin": "claim", "created_at": 1, "last_sequence": 1, "conflicts": 0, "last_seen_at": 1}
    for number in range(9):
        status = "active" if number == 8 else "revoked"
        enrolled = {"id": f"dev_{number}", "name": "porch", "status": status, **row}
        OPEN[-1].transact_here(partial(insert, table=DEVICE, row=enrolled))
    assert found(admin, "porch") == "dev_8"


def test_what_is_deleted_by_name_is_the_device_that_is_revoked(admin):
    """The other one of that name is in use; whoever revoked it, as the answer says, would lose it."""
    code, out, _ = admin("--json", "devices", "delete", "kitchen")
    assert (code, json.loads(out)["id"]) == (ExitCode.OK, "dev_" + "b" * 26)
    assert admin("devices", "delete", "kitchen")[0] == ExitCode.DATA


def test_a_device_gets_another_name_and_is_found_under_it(admin):
    assert admin("devices", "rename", "kids", "Attic")[0] == ExitCode.OK
    assert found(admin, "attic") == "dev_ab" + "c" * 24
    assert "there is no device" in found(admin, "kids")
    (entry,) = json.loads(admin("--json", "audit", "tail", "--about", "dev_ab" + "c" * 24)[1])
    assert (entry["action"], entry["detail"]) == ("renamed", "")


def test_only_a_device_that_is_revoked_is_deleted_and_nothing_is_left_of_it(admin):
    code, _, err = admin("devices", "delete", "attic")
    assert code == ExitCode.NO_INPUT
    code, _, err = admin("devices", "delete", "kids")
    assert (code, "revoke it first with `devices revoke`" in err) == (ExitCode.DATA, True)
    store = OPEN[-1]
    device = "dev_" + "b" * 26
    usage = {"day": 1, "sessions": 1, "reserved_s": 1, "reported_s": 1}
    store.transact_here(partial(insert, table=USAGE, row={"device_id": device, **usage}))
    session = {"at": 1, "purpose": "new", "state": "minted", "sequence": 1, "reserved_s": 1, "expires_at": 1}
    store.transact_here(partial(insert, table=SESSION, row={"id": "s", "device_id": device, **session}))
    key = {"thumbprint": "t", "public_key": "k", "status": "revoked", "created_at": 1}
    store.transact_here(partial(insert, table=DEVICE_KEY, row={"device_id": device, **key}))
    assert admin("devices", "delete", "dev_b")[0] == ExitCode.OK
    assert "there is no device" in found(admin, device)
    for table in (USAGE, SESSION, DEVICE_KEY):
        with store.engine.connect() as connection:
            assert connection.execute(table.select()).all() == []


@pytest.mark.parametrize(
    ("options", "letters"),
    [
        ([], "abcdefh"),
        (["--status", "active"], "acd"),
        (["--name", "KITCH"], "ab"),
        (["--policy", "children"], "c"),
        (["--policy", "none", "--status", "active"], "ad"),
        (["--limit", "2"], "ab"),
        (["--limit", "2", "--skip", "2"], "cd"),
        (["--skip", "6"], "h"),
    ],
)
def test_lists_are_filtered_and_paged(admin, options, letters):
    rows = json.loads(admin("--json", "devices", "list", *options)[1])
    names = {"dev_ab" + "c" * 24: "c", "hall%": "h"}
    assert "".join(names.get(row["id"], row["id"][-1]) for row in rows) == letters


def test_devices_that_were_not_heard_of_are_found(admin):
    def seen(connection: Connection, device: str, at: int | None) -> None:
        connection.execute(DEVICE.update().where(DEVICE.c.id.startswith(device)).values(last_seen_at=at))

    now = round(time.time() * 1000)
    for device, at in (("", now), ("dev_b", now - 2 * DAY_MS), ("dev_d", now - 4 * DAY_MS), ("dev_e", None)):
        OPEN[-1].transact_here(partial(seen, device=device, at=at))
    for days, letters in (("1", "bde"), ("3", "de"), ("5", "e")):
        rows = json.loads(admin("--json", "devices", "list", "--unseen-days", days)[1])
        assert "".join(row["id"][-1] for row in rows) == letters


def test_claims_and_the_audit_are_filtered_and_paged_too(admin):
    for label in ("one", "two", "three"):
        admin("claims", "create", "--url", "https://nas.test", "--label", label)
    rows = json.loads(admin("--json", "claims", "list")[1])
    admin("claims", "revoke", rows[0]["id"])
    assert len(json.loads(admin("--json", "claims", "list", "--open")[1])) == 2
    assert len(json.loads(admin("--json", "claims", "list", "--limit", "1", "--skip", "2")[1])) == 1
    for name in ("p1", "p2", "p3"):
        admin("policies", "set", name)
    paged = json.loads(admin("--json", "policies", "list", "--limit", "1", "--skip", "1")[1])
    assert [policy["name"] for policy in paged] == ["p2"]
    told = json.loads(admin("--json", "audit", "tail", "-n", "2", "--skip", "4")[1])
    assert [entry["action"] for entry in told] == ["claim-created"] * 2
    assert len(json.loads(admin("--json", "audit", "tail", "--about", rows[0]["id"])[1])) == 2


ROWS: dict[str, dict[str, object]] = {
    "devices": {
        "id": "dev_01m7wd7tg0041pv2mk2fzy97w1",
        "name": "the kitchen of the flat on the second floor",
        "status": "suspended",
        "policy": "children-in-the-evening",
        "last_seen_at": NOW_MS,
        "agent": "voice-appliance/0.1.0",
        "conflicts": 0,
        "created_at": NOW_MS,
    },
    "usage": {
        "id": "dev_01m7wd7tg0041pv2mk2fzy97w1",
        "name": "the kitchen of the flat",
        "sessions": 12_345,
        "reserved_s": 740_700,
        "reported_s": 345_600,
    },
    "claims": {
        "id": "k7m2qd",
        "label": "the kitchen of the flat",
        "policy": "children-in-the-evening",
        "approval": 1,
        "uses_left": 1,
        "failures": 0,
        "created_at": NOW_MS,
        "expires_at": NOW_MS,
        "revoked_at": NOW_MS,
    },
}


@pytest.mark.parametrize("name", ROWS)
def test_a_table_fits_80_columns_with_the_id_whole(name):
    out = io.StringIO()
    Console(file=out, width=80).print(show._table([ROWS[name]]))
    lines = out.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    assert str(ROWS[name]["id"]) in lines[-1] or any(str(ROWS[name]["id"]) in line for line in lines)
    if "last_seen_at" in ROWS[name]:
        assert any("2026-11-20 12:00" in line for line in lines)


def test_usage_is_in_conversations_and_minutes(admin):
    out = io.StringIO()
    Console(file=out, width=80).print(show._table([ROWS["usage"]]))
    assert all(word in out.getvalue() for word in ("conversations", "minutes", "12345", "5760"))


def test_an_entry_of_the_audit_fits_80_columns(admin):
    row = {"seq": 12345, "at": NOW_MS, "actor": "dev_01m7wd7tg0041pv2mk2fzy97w1", "action": "sequence-conflict"}
    row |= {"subject": "dev_01m7wd7tg0041pv2mk2fzy97w1", "detail": "12 after 345", "alert": "!"}
    assert all(len(line) <= 80 for line in show._entry(row).splitlines())
    admin("policies", "set", "children")
    lines = admin("audit", "tail")[1].splitlines()
    assert len(lines) == 2
    assert "policy-created by " in lines[0]
    assert "children: version 1" in lines[1]
