"""Facts that a device reports: those that can be read, and none that could not be sent."""

import hashlib
from pathlib import Path

import pytest

from appliance.provisioning.common.protocol import DeviceFacts
from appliance.provisioning.device.enrolment import device_facts


def machine(root: Path, files: dict[str, bytes]) -> DeviceFacts:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return device_facts(root)


MODEL, SERIAL, SYSTEM = "proc/device-tree/model", "proc/device-tree/serial-number", "etc/os-release"


def test_a_raspberry_pi_tells_its_model_its_system_and_a_digest_of_its_number(tmp_path):
    facts = machine(
        tmp_path,
        {
            MODEL: b"Raspberry Pi 4 Model B Rev 1.5\0",
            SERIAL: b"100000003d1d1c2a\0",
            SYSTEM: b'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n# a comment\n\nID=debian\nVERSION_ID="12"\n',
        },
    )
    assert facts.model == "Raspberry Pi 4 Model B Rev 1.5"
    assert facts.serial_sha256 == hashlib.sha256(b"100000003d1d1c2a").hexdigest()
    assert facts.os == "debian-12"


def test_what_is_not_there_is_left_out(tmp_path):
    assert device_facts(tmp_path / "nowhere") == DeviceFacts()
    assert machine(tmp_path, {SYSTEM: b"ID=arch\n"}) == DeviceFacts(os="arch")
    assert machine(tmp_path, {MODEL: b"\0", SERIAL: b"", SYSTEM: b""}) == DeviceFacts()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"Pi\x07 5\x1b[31m\r\0", "Pi 5[31m"),
        (b"\xff\xfePi\0", "��Pi"),
        (b"x" * 200, "x" * 80),
        (b"one\ntwo\0", "one"),
    ],
)
def test_whatever_stands_there_becomes_one_line_that_can_be_sent(tmp_path, content, said):
    facts = machine(tmp_path, {MODEL: content, SYSTEM: b"ID='debian'\nVERSION_ID='13'\n"})
    assert (facts.model, facts.os) == (said, "debian-13")


def test_a_directory_in_its_place_is_as_if_it_were_not_there(tmp_path):
    (tmp_path / MODEL).mkdir(parents=True)
    assert device_facts(tmp_path) == DeviceFacts()


def test_this_machine_has_facts_that_can_be_sent():
    assert DeviceFacts.model_validate_json(device_facts().model_dump_json()) == device_facts()
