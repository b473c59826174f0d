from functools import partial

import pytest
from sqlalchemy import delete, update

from appliance.provisioning.server import audit
from appliance.provisioning.server.schema import AUDIT, AUDIT_HEAD
from tests.support.provisioning import memory_store


def written(count: int):
    store = memory_store()
    for number in range(count):
        entry = audit.Entry(number, "admin", audit.AuditAction.APPROVED, f"dev{number}", "detail")
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


@pytest.mark.parametrize("kept", [0, 3, 5])
def test_a_mark_leads_to_all_that_is_written_after_it(kept):
    store = written(kept)
    mark = audit.read_mark(store.transact_here(audit.head).text())
    for number in range(3):
        entry = audit.Entry(number, "admin", audit.AuditAction.APPROVED, "later")
        store.transact_here(partial(audit.append, entry=entry))
    assert store.transact_here(partial(audit.leads_to, mark=mark))


@pytest.mark.parametrize("left", [0, 2, 4])
def test_an_end_that_was_cut_off_with_the_head_moved_back_is_found_by_a_mark(left):
    store = written(5)
    mark = store.transact_here(audit.head)
    shorter = written(left).transact_here(audit.head)
    store.transact_here(lambda c: c.execute(delete(AUDIT).where(AUDIT.c.seq > left)))
    store.transact_here(lambda c: c.execute(update(AUDIT_HEAD).values(seq=left, hash=shorter.hash)))
    assert store.transact_here(audit.first_break) is None, "in itself it is whole"
    assert not store.transact_here(partial(audit.leads_to, mark=mark))


def test_a_chain_that_was_written_anew_is_found_by_a_mark():
    mark = audit.Mark(3, written(3).transact_here(audit.head).hash[::-1])
    assert not written(9).transact_here(partial(audit.leads_to, mark=mark))


@pytest.mark.parametrize("text", ["", "3", f"3:{'a' * 63}", f"-1:{'a' * 64}", f"3:{'G' * 64}", f"03:{'a' * 64}"])
def test_anything_else_is_no_mark(text):
    with pytest.raises(ValueError, match="not a mark"):
        audit.read_mark(text)
