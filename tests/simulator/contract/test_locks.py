import pytest

from appliance.simulator.contract.locks import GlobalLock, Lock, parse_lock
from appliance.simulator.contract.messages import ContractError

ASKED = {
    "model": "models/cheap",
    "generationConfig": {"seed": 1, "temperature": 2},
    "tools": [],
    "sessionResumption": {},
}
FIXED = {"model": "models/dear", "generationConfig": {"seed": 7}}


@pytest.mark.parametrize(
    ("lock", "counts"),
    [
        (Lock(), ASKED),
        (Lock(FIXED), FIXED),
        (Lock(FIXED, ("model",)), {**ASKED, "model": "models/dear"}),
        (Lock(FIXED, ("generationConfig.seed",)), {**ASKED, "generationConfig": {"seed": 7, "temperature": 2}}),
        (Lock(FIXED, ("generationConfig.temperature",)), {**ASKED, "generationConfig": {"seed": 1}}),
        (Lock(FIXED, ("generationConfig",)), {**ASKED, "generationConfig": {"seed": 7}}),
        (
            Lock(FIXED, ("tools", "proactivity", "generationConfig.speechConfig.languageCode")),
            {name: ASKED[name] for name in ("model", "generationConfig", "sessionResumption")},
        ),
    ],
)
def test_a_lock_takes_masked_fields_from_the_token_and_leaves_the_rest(lock: Lock, counts):
    assert lock.applied(ASKED) == counts


def test_no_field_mask_locks_all():
    assert parse_lock(FIXED, None) == parse_lock(FIXED, "") == Lock(FIXED)


@pytest.mark.parametrize("mask", ["session_resumption", "model,", "a..b"])
def test_a_field_mask_is_camel_case_paths(mask):
    with pytest.raises(ContractError, match="fieldMask"):
        parse_lock(FIXED, mask)


HANDLE = {"sessionResumption": {"handle": "h"}}


@pytest.mark.parametrize(
    ("when_global", "counts"), [(GlobalLock.IGNORES_HANDLE, FIXED), (GlobalLock.KEEPS_HANDLE, {**FIXED, **HANDLE})]
)
def test_a_lock_of_everything_ignores_the_handle_or_keeps_it_as_chosen(when_global: GlobalLock, counts):
    assert Lock(FIXED).applied({**ASKED, **HANDLE}, when_global) == counts
