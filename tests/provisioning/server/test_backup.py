"""A server in one file, and in another database: what its devices, claims and operator had is there again."""

import io
import json
import shutil
import tarfile
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest
from sqlalchemy import select

from appliance.errors import ExitCode
from appliance.provisioning.common import keys
from appliance.provisioning.common.protocol import ProblemCode
from appliance.provisioning.server import audit, identity, migrate
from appliance.provisioning.server.program import main as provisiond
from appliance.provisioning.server.schema import METADATA
from appliance.provisioning.server.settings import load_for_admin
from appliance.provisioning.server.store import DatabaseStore, open_engine
from tests.clock import run_virtual
from tests.support.provisioning import OPEN, InThisThread, World, refused, world

Admin = Callable[..., tuple[int, str]]


class Place:
    """One server's settings file, in its own directory."""

    def __init__(self, directory: Path, database_url: str = "") -> None:
        directory.mkdir(exist_ok=True)
        self.directory = directory
        self.file = directory / "provisiond.toml"
        self.file.write_text(f'database_url = "{database_url}"\n' if database_url else "")
        self.settings = load_for_admin(self.file, {})

    def admin(self, *arguments: object) -> tuple[int, str]:
        """Do a command; return its exit code, and what it has said."""
        with redirect_stdout(io.StringIO()) as out, redirect_stderr(io.StringIO()) as err:
            code = provisiond(["admin", "--config", str(self.file), *map(str, arguments)])
        return code, out.getvalue() + err.getvalue()

    def world(self) -> World:
        """The server, as it starts here."""
        assert self.admin("claims", "list")[0] == ExitCode.OK
        store = DatabaseStore(open_engine(self.settings.database()), InThisThread())
        OPEN.append(store)
        return World(self.settings, store, world().upstream, key=identity.signing_key(self.settings))

    def rows(self) -> dict[str, list[tuple[object, ...]]]:
        """All that the database holds but the audit, whose entries say what was done to it."""
        made = DatabaseStore(open_engine(self.settings.database()))
        migrate.upgrade(made.engine)
        with made.engine.connect() as connection:
            tables = [table for table in METADATA.sorted_tables if not table.name.startswith("audit")]
            found = {table.name: sorted(map(tuple, connection.execute(select(table))), key=str) for table in tables}
            assert audit.first_break(connection) is None
        made.close()
        return found


KEY = keys.private_key(keys.new_private_key())
MADE: list[Path] = []


def make_first(directory: Path) -> None:
    """Make a server with a device that has talked, a policy and an open claim."""
    place = Place(directory)
    here = place.world()
    place.admin("policies", "set", "children", "--sessions-day", "3")

    async def main() -> None:
        device = (await here.enrol(here.claim(label="kitchen", policy="children"), KEY)).json()["device_id"]
        assert (await here.token(device=device, key=KEY)).status_code == 200

    run_virtual(main)
    while OPEN:
        OPEN.pop().close()


@pytest.fixture
def first(tmp_path, tmp_path_factory, monkeypatch) -> Place:
    """A server as `make_first` makes it: a copy of the first one that a test has asked for."""
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    if not MADE:
        MADE.append(tmp_path_factory.mktemp("made") / "first")
        make_first(MADE[0])
    shutil.copytree(MADE[0], tmp_path / "first")
    return Place(tmp_path / "first")


def device_of(place: Place) -> str:
    return str(place.rows()["device"][0][0])


async def serves(place: Place, sequence: int) -> None:
    """Check that the device of before is served as before, with an answer of the key that it trusts."""
    here = place.world()
    response = await here.token(device=device_of(place), key=KEY, sequence=sequence)
    assert response.status_code == 200, response.text
    refused(await here.token(device=device_of(place), key=KEY, sequence=2), ProblemCode.SEQUENCE_CONFLICT)


def bring_key(first: Place, other: Place) -> None:
    other.settings.directory().mkdir()
    (first.settings.directory() / "signing-key.pem").rename(other.settings.directory() / "signing-key.pem")


async def test_what_was_backed_up_is_there_again_on_another_machine(first, tmp_path):
    claim = first.world().claim()
    file = tmp_path / "backup.tar"
    assert first.admin("backup", file) == (ExitCode.OK, f"file     {file}\ndevices  1\n")
    assert file.stat().st_mode & 0o777 == 0o600
    other = Place(tmp_path / "second")
    assert other.admin("restore", file) == (ExitCode.OK, f"file     {file}\ndevices  1\n")
    before, after = first.rows(), other.rows()
    assert {name: rows for name, rows in after.items() if name != "claim"} == {
        name: rows for name, rows in before.items() if name != "claim"
    }
    await serves(other, 10)
    stranger = keys.private_key(keys.new_private_key())
    refused(await other.world().enrol(claim, stranger), ProblemCode.CLAIM_INVALID)
    told = json.loads(other.admin("--json", "audit", "tail", "-n", "50")[1])
    actions = [row["action"] for row in told]
    assert actions[actions.index("backed-up") :][:4] == ["backed-up", "restored", "claim-revoked", "claim-revoked"]


def test_keys_that_are_announced_and_kept_come_along_and_one_that_is_in_the_way_is_put_aside(first, tmp_path):
    first.admin("keys", "announce")
    first.admin("keys", "rotate", "--leave-behind")
    first.admin("keys", "announce")
    file = tmp_path / "backup.tar"
    first.admin("backup", file)
    other = Place(tmp_path / "second")
    new = identity.signing_key(other.settings)
    assert other.admin("restore", file)[0] == ExitCode.OK
    assert identity.key_files(other.settings) == identity.key_files(first.settings)
    assert len(identity.key_files(other.settings)) == 3
    kept = other.directory / "state" / "signing-key.pem.before"
    assert keys.thumbprint(keys.private_key(kept.read_text())) == keys.thumbprint(new)


def test_a_database_that_holds_anything_is_left_alone(first, tmp_path):
    file = tmp_path / "backup.tar"
    first.admin("backup", file)
    before = first.rows()
    code, said = first.admin("restore", file)
    assert (code, first.rows()) == (ExitCode.CANNOT_WRITE, before)
    assert "the database is not empty" in said
    code, said = first.admin("backup", file)
    assert (code, said) == (ExitCode.CANNOT_WRITE, f"appliance-provisiond: {file} cannot be written: File exists\n")


@pytest.mark.parametrize("damage", ["absent", "text", "cut", "another", "empty"])
def test_what_is_no_backup_is_one_line_and_changes_nothing(first, tmp_path, damage):
    file = tmp_path / "backup.tar"
    first.admin("backup", file)
    if damage == "absent":
        file.unlink()
    elif damage == "text":
        file.write_text("no backup")
    elif damage == "cut":
        file.write_bytes(file.read_bytes()[:3000])
    elif damage == "empty":
        file.write_bytes(b"")
    else:
        with tarfile.open(file, "w") as archive:
            archive.add(first.file, "signing-key.pem")
    other = Place(tmp_path / "second")
    code, said = other.admin("restore", file)
    assert code == (ExitCode.NO_INPUT if damage == "absent" else ExitCode.DATA)
    reason = "does not exist" if damage == "absent" else "is not a backup"
    assert said.startswith(f"appliance-provisiond: {file}: {reason}")
    assert said.count("\n") == 1
    assert other.rows()["device"] == []
    assert not (other.directory / "state" / "signing-key.pem").exists()


@pytest.mark.parametrize("spared", [0, 4096])
def test_a_backup_whose_database_is_damaged_takes_no_key_away(first, tmp_path, spared):
    file, damaged = tmp_path / "backup.tar", tmp_path / "damaged.tar"
    first.admin("backup", file)
    with tarfile.open(file) as source, tarfile.open(damaged, "w") as target:
        for member in source:
            stream = source.extractfile(member)
            assert stream
            content = stream.read()
            if member.name.endswith(".sqlite"):
                content = content[:spared] + b"x" * (len(content) - spared)
            target.addfile(member, io.BytesIO(content))
    other = Place(tmp_path / "second")
    other.admin("keys", "show")
    key = other.directory / "state" / "signing-key.pem"
    before = key.read_bytes()
    code, said = other.admin("restore", damaged)
    assert (code != ExitCode.OK, said.count("\n")) == (True, 1)
    assert key.read_bytes() == before
    assert other.admin("restore", file)[0] == ExitCode.OK
    assert key.with_name("signing-key.pem.before").read_bytes() == before


async def test_a_database_moves_to_the_one_of_other_settings(first, tmp_path, database_url):
    other = Place(tmp_path / "second", database_url)
    code, said = first.admin("move", other.file)
    assert (code, said.split()[-2:]) == (ExitCode.OK, ["devices", "1"])
    assert other.rows() == first.rows()
    code, said = first.admin("move", other.file)
    assert code == ExitCode.CANNOT_WRITE
    assert "not empty" in said
    assert first.admin("move", first.file)[0] == ExitCode.CONFIGURATION
    bring_key(first, other)
    await serves(other, 10)


def test_a_backup_of_one_engine_is_one_for_the_other(first, tmp_path, database_url):
    file = tmp_path / "backup.tar"
    other = Place(tmp_path / "second", database_url)
    first.admin("move", other.file)
    bring_key(first, other)
    assert other.admin("backup", file)[0] == ExitCode.OK
    third = Place(tmp_path / "third")
    assert third.admin("restore", file)[0] == ExitCode.OK
    assert third.rows()["device"] == first.rows()["device"]
