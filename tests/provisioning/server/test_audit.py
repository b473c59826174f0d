from functools import partial

import pytest
from sqlalchemy import delete, update

from appliance.provisioning.server import audit
from appliance.provisioning.server.schema import AUDIT
from tests.provisioning.worlds import memory_store


def written(count: int):
    store = memory_store()
    for number in range(count):
        entry = audit.Entry(number, "admin", audit.Action.APPROVED, f"dev{number}", "detail")
        store.transact_here(partial(audit.append, entry=entry))
    return store


@pytest.mark.parametrize("count", [0, 1, 5])
def test_what_was_written_is_whole(count):
    store = written(count)
    assert store.transact_here(audit.first_break) is None
    assert [row.subject for row in store.transact_here(lambda c: list(audit.last(c, 3)))] == [
        f"dev{number}" for number in range(count)
    ][-3:]


@pytest.mark.parametrize("column", ["at", "actor", "action", "subject", "detail", "hash"])
def test_an_entry_that_was_changed_is_found(column):
    store = written(5)
    value = 7 if column == "at" else bytes(32) if column == "hash" else "other"
    store.transact_here(lambda c: c.execute(update(AUDIT).where(AUDIT.c.seq == 3).values({column: value})))
    assert store.transact_here(audit.first_break) == 3


@pytest.mark.parametrize("seq", [1, 3, 5])
def test_an_entry_that_is_missing_is_found_at_the_end_too(seq):
    store = written(5)
    store.transact_here(lambda c: c.execute(delete(AUDIT).where(AUDIT.c.seq == seq)))
    assert store.transact_here(audit.first_break) in {seq, seq + 1}
