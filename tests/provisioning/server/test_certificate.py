"""A certificate that is renewed while the server runs, and one that is not."""

import asyncio
import logging
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from appliance.errors import ConfigurationError
from appliance.provisioning.server.certificate import NEAR, WARN_EVERY, Certificate
from tests.provisioning.server.certificates import FILES, issue
from tests.support.provisioning import NOW, World, world


def served(context: ssl.SSLContext) -> str:
    """Return the name in the certificate that a client would be shown, after a handshake in memory."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    asking = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    asking.check_hostname, asking.verify_mode = False, ssl.CERT_NONE
    client = asking.wrap_bio(to_client, to_server)
    server = context.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(4):
        for side in (client, server):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    shown = client.getpeercert(binary_form=True)
    assert shown
    (name,) = x509.load_der_x509_certificate(shown).subject
    return str(name.value)


class House:
    """A certificate in use, in a directory; ``now`` is the wall clock."""

    def __init__(self, directory: Path, days: float = 90) -> None:
        self.directory = directory
        self.now = NOW
        issue(directory, days, "old")
        self.certificate = Certificate(directory / FILES[0], directory / FILES[1], lambda: self.now)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(directory / FILES[0], directory / FILES[1])
        self.certificate.keep_current(self.context)


def test_renewed_files_are_in_use_at_the_next_look(tmp_path):
    house = House(tmp_path, 30)
    house.certificate.check()
    assert served(house.context) == "old"
    issue(tmp_path, 90, "new")
    assert served(house.context) == "old"
    house.certificate.check()
    assert served(house.context) == "new"
    assert house.certificate.expires_at == NOW + timedelta(days=90)


@pytest.mark.parametrize("lacking", FILES)
@pytest.mark.parametrize("how", ["removed", "of another pair", "garbage"])
def test_files_that_do_not_fit_are_told_once_and_taken_when_they_do(tmp_path, caplog, lacking, how):
    house = House(tmp_path)
    other = tmp_path / "other"
    other.mkdir()
    issue(other, 90, "new")
    file = tmp_path / lacking
    if how == "removed":
        file.unlink()
    elif how == "garbage":
        file.write_text("no certificate")
    else:
        (other / lacking).replace(file)
        issue(other, 90, "new")
    for _ in range(3):
        house.certificate.check()
    told = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert len(told) == (3 if how == "removed" else 1)
    assert "the old one stays" in told[0].getMessage()
    assert served(house.context) == "old"
    for name in FILES:
        (other / name).replace(tmp_path / name)
    house.certificate.check()
    assert served(house.context) == "new"


@pytest.mark.parametrize(
    ("days", "first_told"),
    [(365, timedelta(days=365) - NEAR), (28, timedelta(days=21)), (6, timedelta(days=4.5))],
)
def test_an_end_that_is_near_is_told_every_day_and_not_before(tmp_path, caplog, days, first_told):
    house = House(tmp_path, days)
    for at, level in ((-1, None), (1, logging.WARNING), (1, None), (1 + WARN_EVERY.total_seconds(), logging.WARNING)):
        caplog.clear()
        house.now = NOW + first_told + timedelta(seconds=at)
        house.certificate.check()
        assert [record.levelno for record in caplog.records] == ([level] if level else [])
    house.now = NOW + timedelta(days=days)
    caplog.clear()
    house.certificate.check()
    assert "expired" in caplog.text


def test_one_that_was_renewed_is_told_of_no_more(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    house = House(tmp_path, 1)
    house.now += timedelta(hours=23)
    house.certificate.check()
    assert "renew it" in caplog.text
    issue(tmp_path, 90)
    caplog.clear()
    house.certificate.check()
    assert [record.levelno for record in caplog.records] == [logging.INFO]


@pytest.mark.parametrize("content", [None, "", "no certificate"])
def test_one_that_cannot_be_used_at_the_start_is_a_wrong_setting(tmp_path, content):
    issue(tmp_path, 90)
    file = tmp_path / FILES[0]
    file.unlink()
    if content is not None:
        file.write_text(content)
    with pytest.raises(ConfigurationError, match=r"tls_certificate, tls_key: .* cannot be used"):
        Certificate(file, tmp_path / FILES[1], lambda: datetime.now(UTC))


def test_nobody_is_asked_for_a_passphrase(tmp_path, caplog):
    house = House(tmp_path)
    file = tmp_path / FILES[1]
    key = serialization.load_pem_private_key(file.read_bytes(), None)
    encrypted = serialization.BestAvailableEncryption(b"secret")
    file.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encrypted))
    house.certificate.check()
    assert "the key has a passphrase: write it without one" in caplog.text
    assert served(house.context) == "old"
    with pytest.raises(ConfigurationError, match="the key has a passphrase"):
        Certificate(tmp_path / FILES[0], file, lambda: NOW)


async def test_it_is_looked_after_while_the_server_runs_and_its_end_is_in_the_metrics(tmp_path):
    house = House(tmp_path)
    here = world()

    watched = World(here.settings, here.store, here.upstream, certificate=house.certificate)
    async with watched.app.router.lifespan_context(watched.app):
        await asyncio.sleep(1)
        issue(tmp_path, 365, "new")
        await asyncio.sleep(70)
    assert served(house.context) == "new"
    value = watched.parts.metrics.registry.get_sample_value("provisiond_certificate_expires_at_seconds")
    assert value == (NOW + timedelta(days=365)).timestamp()
    assert watched.parts.metrics.registry.get_sample_value("provisiond_devices", {"status": "active"}) == 1
