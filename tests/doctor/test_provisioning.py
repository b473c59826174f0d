"""The doctor on who this device is to its server, from what lies in the state directory."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from appliance.config.schema import ProvisioningSettings, Settings
from appliance.doctor import provisioning
from appliance.doctor.finding import Finding, Severity
from appliance.provisioning.common import keys
from appliance.provisioning.common.protocol import ServerKey
from appliance.provisioning.device import identity
from appliance.provisioning.device.enrolment import STATUS_FILE
from appliance.storage.private_dir import VARIABLE, PrivateDirectory

EARLIER, LATER = "2026-11-20T12:00:00+00:00", "2026-11-20T12:00:01Z"
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    return tmp_path


def enrolled(state: Path) -> None:
    server = keys.private_key(keys.new_private_key())
    name = identity.key_file("k7m2qd")
    PrivateDirectory(state).write(name, keys.new_private_key())
    made = identity.Identity(
        url="https://server.test",
        device_id="dev_1",
        claim="k7m2qd",
        key_file=name,
        server_keys=(ServerKey(kid=keys.thumbprint(server), x=keys.jwk(server).x),),
    )
    identity.write(PrivateDirectory(state), made)


def enrolment(**settings: object) -> Finding:
    return provisioning.enrolment(Settings(provisioning=ProvisioningSettings.model_validate(settings)))


def standing(state: Path, said: object) -> Finding:
    (state / STATUS_FILE).write_text(said if isinstance(said, str) else json.dumps(said))
    return provisioning.standing(Settings(), lambda: NOW)


def test_a_device_that_has_enrolled_is_fit(state):
    enrolled(state)
    assert enrolment() == Finding("enrolment", Severity.OK, "dev_1 at https://server.test")
    assert enrolment(url="https://moved.test").found == "dev_1 at https://moved.test"


def test_one_that_has_not_is_told_how_to(state):
    finding = enrolment()
    assert finding.severity is Severity.PROBLEM
    assert "not enrolled" in finding.found
    assert "appliance enrol" in finding.advice


@pytest.mark.parametrize("lacking", ["key", "identity.json"])
@pytest.mark.parametrize("damage", ["removed", "overwritten", "unreadable"])
def test_what_is_damaged_is_a_problem_and_not_quoted(state, lacking, damage):
    enrolled(state)
    file = next(state.glob("device-key-*")) if lacking == "key" else state / lacking
    body = file.read_text().splitlines()[1]
    file.unlink()
    if damage == "overwritten":
        file.write_text(f"no {body}")
    if damage == "unreadable":
        file.mkdir()
    finding = enrolment()
    assert finding.severity is Severity.PROBLEM
    assert body not in finding.found


def test_settings_that_say_it_all_need_no_enrolment(state):
    server = keys.public_key_text(keys.private_key(keys.new_private_key()))
    given = {"url": "https://s.test", "device_id": "d", "device_key": keys.new_private_key(), "server_keys": (server,)}
    assert enrolment(**given).severity is Severity.OK
    assert enrolment(**{**given, "server_keys": ("none",)}).severity is Severity.PROBLEM


@pytest.mark.parametrize(
    ("said", "severity", "words"),
    [
        ({"status": "active", "at": "2026-11-20T12:00:00+00:00"}, Severity.OK, "active, as of 2026-11-20T12:00:00"),
        ({"at": "x", "quota": {"sessions_left_today": 3}}, Severity.OK, "as of x; 3 conversations of today left"),
        (
            {"status": "active", "refused": {"why": "the server says no", "until": LATER}},
            Severity.PROBLEM,
            "the server says no",
        ),
        ({"status": "active", "refused": {"why": "the server says no", "until": None}}, Severity.PROBLEM, "says no"),
        ({"refused": {"why": "the server says no", "until": EARLIER}, "at": "x"}, Severity.OK, "served, as of x"),
        (
            {"quota": {"sessions_left_today": 100, "used_up": "rate-limited", "used_up_until": LATER}},
            Severity.PROBLEM,
            "begins too many conversations",
        ),
        (
            {"quota": {"sessions_left_today": 100, "used_up": "rate-limited", "used_up_until": EARLIER}},
            Severity.OK,
            "100 conversations of today left",
        ),
        ({"at": "x", "quota": {"sessions_left_today": 0, "resets_at": EARLIER}}, Severity.OK, "served, as of x"),
        ({"at": "x", "refused": 7, "quota": {"used_up": "?", "used_up_until": 7}}, Severity.PROBLEM, "too many"),
        (
            {"at": "x", "quota": {"sessions_left_today": 0, "minutes_left_month": 7}},
            Severity.OK,
            "0 conversations of today left; 7 minutes of this month left",
        ),
        ({"status": "pending", "at": "x", "quota": None}, Severity.PROBLEM, "pending"),
        ({"status": "suspended", "at": "x"}, Severity.PROBLEM, "suspended"),
        ({"at": "x", "quota": [1]}, Severity.OK, "served"),
        ({"status": ["active"], "at": "x"}, Severity.PROBLEM, "active"),
        ({}, Severity.NOTE, "not been in touch"),
        ([], Severity.NOTE, "not been in touch"),
        ("{", Severity.NOTE, "not been in touch"),
        ("[" * 50_000, Severity.NOTE, "not been in touch"),
        ("", Severity.NOTE, "not been in touch"),
    ],
)
def test_what_the_server_has_said_last_is_told(state, said, severity, words):
    finding = standing(state, said)
    assert (finding.name, finding.severity) == ("provisioning", severity)
    assert words in finding.found
    assert bool(finding.advice) is (severity is Severity.PROBLEM)


def test_a_server_that_was_never_heard_of_is_noted_and_so_is_a_file_that_cannot_be_read(state):
    assert "not been in touch" in provisioning.standing(Settings()).found
    (state / STATUS_FILE).mkdir()
    finding = provisioning.standing(Settings())
    assert finding.severity is Severity.NOTE
    assert "cannot be used" in finding.found


def test_all_are_asked():
    assert set(provisioning.CHECKS) == {provisioning.enrolment, provisioning.secrets, provisioning.standing}
