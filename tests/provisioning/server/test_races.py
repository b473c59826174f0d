"""Invariants under concurrent requests, on both database engines."""

from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest
from sqlalchemy import Connection, func, select

from appliance.provisioning.common import keys
from appliance.provisioning.common.join import Claim
from appliance.provisioning.common.protocol import DeviceFacts, ProblemCode, Purpose
from appliance.provisioning.common.signatures import ParsedSignature, SignedRequest, parse_request
from appliance.provisioning.server import audit, claims, devices, enrolment, policy, sessions
from appliance.provisioning.server.admission import Admission, AdmissionRequest, AuthenticatedDevice
from appliance.provisioning.server.enrolment import Applicant, EnrolledDevice
from appliance.provisioning.server.errors import Refusal
from appliance.provisioning.server.schema import DEVICE, SESSION, USAGE
from appliance.provisioning.server.store import DatabaseStore
from tests.support.provisioning import ASKED, KEY, SERVER, server_settings, signed_headers
from tests.support.provisioning import DEVICE as KITCHEN

pytestmark = pytest.mark.realtime
NOW = 1_795_176_000_000
THREADS = 8
CLAIMS = 5
KEYS = [keys.private_key(keys.new_private_key()).public_key() for _ in range(THREADS)]


def at_once(store: DatabaseStore, works: Iterable[Callable[[Connection], Any]]) -> list[Any]:
    with ThreadPoolExecutor(THREADS) as threads:
        return list(threads.map(store.transact_here, works))


def applicant(claim: Claim, key: keys.PublicKey) -> Applicant:
    return Applicant(claim, key, DeviceFacts(), None, "", 1, NOW)


def parsed_signature(sequence: int) -> ParsedSignature:
    return parse_request(SignedRequest("POST", f"{SERVER}/v1/tokens", signed_headers(sequence), ASKED))


@pytest.mark.parametrize("uses", [1, 3])
def test_a_claim_enrols_as_many_devices_as_it_is_good_for(store, uses):
    for _ in range(CLAIMS):
        claim = store.transact_here(lambda c: claims.create(c, claims.ClaimTerms(uses=uses), NOW, "admin"))
        new = [keys.private_key(keys.new_private_key()).public_key() for _ in range(THREADS)]
        outcomes = at_once(store, [partial(enrolment.enrol, applicant=applicant(claim, key)) for key in new])
        assert sum(isinstance(outcome, EnrolledDevice) for outcome in outcomes) == uses
        refusals = [outcome for outcome in outcomes if isinstance(outcome, Refusal)]
        assert {refusal.code for refusal in refusals} == {ProblemCode.CLAIM_INVALID}
    assert store.transact_here(lambda c: c.execute(select(func.count()).select_from(DEVICE)).scalar()) == CLAIMS * uses
    assert store.transact_here(audit.first_break) is None


@pytest.mark.parametrize("uses", [1, 3])
def test_one_device_that_asks_many_times_becomes_one_device(store, uses):
    for key in KEYS:
        claim = store.transact_here(lambda c: claims.create(c, claims.ClaimTerms(uses=uses), NOW, "admin"))
        outcomes = at_once(store, [partial(enrolment.enrol, applicant=applicant(claim, key))] * THREADS)
        assert len({outcome.device_id for outcome in outcomes}) == 1
        assert [outcome.is_new for outcome in outcomes].count(True) == 1


def test_a_number_counts_once(store):
    store.transact_here(lambda c: devices.apply_settings(c, {KITCHEN: KEY.public_key()}, NOW))
    admission = Admission(0)
    for number in range(1, 9):
        request = AdmissionRequest(parsed_signature(number), "", NOW)
        outcomes = at_once(store, [partial(admission.admit, request=request)] * THREADS)
        assert sum(isinstance(outcome, AuthenticatedDevice) for outcome in outcomes) == 1


def test_many_at_once_never_get_more_than_the_quota(store):
    store.transact_here(lambda c: devices.apply_settings(c, {KITCHEN: KEY.public_key()}, NOW))
    chosen = policy.default_policy(server_settings(limits={"sessions_day": 25, "burst": 0, "concurrent": 0}))
    admission = Admission(0)

    def ask(number: int):
        request = AdmissionRequest(parsed_signature(number), "", NOW)

        def work(connection):
            caller = admission.admit(connection, request)
            if isinstance(caller, Refusal):
                return caller
            return sessions.reserve(connection, KITCHEN, chosen, Purpose.NEW, number, NOW)

        return work

    outcomes = at_once(store, [ask(number) for number in range(1, 81)])
    codes = Counter(outcome.code if isinstance(outcome, Refusal) else "given" for outcome in outcomes)
    # A number that comes after a higher one is refused: the order is chance, the sum is not.
    last = max(number for number in range(1, 81) if not isinstance(outcomes[number - 1], Refusal))
    more = at_once(store, [ask(number) for number in range(1000 + last, 1060 + last)])
    given = codes["given"] + sum(not isinstance(outcome, Refusal) for outcome in more)
    assert given <= 25
    for number in range(2000, 2000 + 25 - given):
        assert not isinstance(store.transact_here(ask(number)), Refusal)
    assert store.transact_here(ask(3000)).code is ProblemCode.QUOTA_SESSIONS
    counted = store.transact_here(lambda c: c.execute(select(USAGE.c.sessions)).scalar())
    assert counted == 25 == store.transact_here(lambda c: c.execute(select(func.count()).select_from(SESSION)).scalar())


def test_taken_back_by_many_is_taken_back_once(store):
    store.transact_here(lambda c: devices.apply_settings(c, {KITCHEN: KEY.public_key()}, NOW))
    chosen = policy.default_policy(server_settings())
    reserved = [
        store.transact_here(lambda c: sessions.reserve(c, KITCHEN, chosen, Purpose.NEW, 1, NOW)) for _ in range(5)
    ]
    works = [partial(sessions.refund, session_id=one.session_id) for one in reserved[:3] for _ in range(4)]
    later = NOW + sessions.ABANDONED_MS + 1
    at_once(store, [*works, *[partial(sessions.sweep, now=later)] * 4])
    assert store.transact_here(lambda c: c.execute(select(USAGE.c.sessions, USAGE.c.reserved_s)).one()) == (0, 0)


def test_the_audit_stays_whole_when_many_write(store):
    entries = [audit.Entry(NOW, "admin", audit.AuditAction.CLAIM_CREATED, f"claim{n}") for n in range(40)]
    at_once(store, [partial(audit.append, entry=entry) for entry in entries])
    assert store.transact_here(audit.first_break) is None
    assert len(store.transact_here(lambda c: list(audit.last(c, 100)))) == 40
