"""Waiting work is done in one database transaction, and one failure does not undo the rest."""

import asyncio
import threading
from functools import partial

import pytest
from sqlalchemy import Connection, event, insert, select, update

from appliance.provisioning.server.schema import POLICY
from appliance.provisioning.server.store import GROUP, POSTGRES_THREADS, DatabaseStore, StoreUnavailable

pytestmark = pytest.mark.realtime


def write(connection: Connection, name: str) -> str:
    connection.execute(insert(POLICY).values(name=name, version=1, created_at=1))
    return name


def names(connection: Connection) -> list[str]:
    return list(connection.execute(select(POLICY.c.name).order_by(POLICY.c.name)).scalars())


def wait(connection: Connection, until: threading.Event) -> None:
    del connection
    assert until.wait(20)


async def while_busy(store: DatabaseStore, works) -> list[object]:
    """Ask for ``works`` while all threads have something to do, and return what comes of them."""
    free = threading.Event()
    async with asyncio.TaskGroup() as group:
        for _ in range(POSTGRES_THREADS):
            group.create_task(store.transact(partial(wait, until=free)))
            await asyncio.sleep(0)
        asked = [asyncio.ensure_future(store.transact(work)) for work in works]
        await asyncio.sleep(0)
        free.set()
        return list(await asyncio.gather(*asked, return_exceptions=True))


async def test_what_waits_is_written_together(store: DatabaseStore):
    commits: list[object] = []
    event.listen(store.engine, "commit", commits.append)
    wanted = [f"p{number:02}" for number in range(2 * GROUP)]
    assert await while_busy(store, [partial(write, name=name) for name in wanted]) == wanted
    assert store.transact_here(names) == wanted
    assert len(commits) < POSTGRES_THREADS + GROUP


async def test_one_that_fails_is_undone_alone(store: DatabaseStore):
    def fail(connection: Connection) -> None:
        write(connection, "undone")
        raise ValueError("mine")

    works = [partial(write, name="a"), fail, partial(write, name="b"), partial(write, name="a")]
    a, failed, b, twice = await while_busy(store, works)
    assert (a, b) == ("a", "b")
    assert isinstance(failed, ValueError)
    assert isinstance(twice, StoreUnavailable)
    assert store.transact_here(names) == ["a", "b"]


async def test_whoever_does_not_wait_any_more_takes_nothing_from_the_others(store: DatabaseStore):
    free = threading.Event()
    async with asyncio.TaskGroup() as group:
        for _ in range(POSTGRES_THREADS):
            group.create_task(store.transact(partial(wait, until=free)))
            await asyncio.sleep(0)
        gone = group.create_task(store.transact(partial(write, name="gone")))
        stays = group.create_task(store.transact(partial(write, name="stays")))
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.sleep(0)
        free.set()
    assert stays.result() == "stays"


async def test_two_groups_that_wait_for_each_other_fail_nobody(store: DatabaseStore):
    """PostgreSQL ends one of them: what it held is done again, each by itself."""
    if store.engine.dialect.name == "sqlite":
        pytest.skip("one transaction at a time")
    for name in "ab":
        store.transact_here(partial(write, name=name))
    both_hold_one = threading.Barrier(2)
    held: list[str] = []

    def lock(connection: Connection, name: str, *, first: bool = False) -> str:
        connection.execute(update(POLICY).where(POLICY.c.name == name).values(created_at=2))
        if first and name not in held:
            held.append(name)
            both_hold_one.wait(20)
        return name

    def crossed(one: str, other: str) -> list[partial[str]]:
        between = [partial(lock, name="neither")] * (GROUP - 2)
        return [partial(lock, name=one, first=True), *between, partial(lock, name=other)]

    came = await while_busy(store, [*crossed("a", "b"), *crossed("b", "a")])
    assert [came[0], came[GROUP - 1], came[GROUP], came[-1]] == ["a", "b", "b", "a"]
    assert set(came) == {"a", "b", "neither"}
