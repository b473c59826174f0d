"""Kills a server's store with SIGKILL while it writes, again and again, and looks at what is left.

``python -m tests.provisioning.server.crash DATABASE_URL KILLS`` prints how many sessions were acknowledged, and how
many were lost or counted twice; after the first of those it ends, with 1. The killed process is a fork of this one: it
starts in no time.
"""

import os
import random
import signal
import sys
import time
from functools import partial
from multiprocessing.connection import wait

from sqlalchemy import func, select

from appliance.provisioning.common.protocol import Purpose
from appliance.provisioning.server import devices, migrate, policy, sessions
from appliance.provisioning.server.policy import DevicePolicy
from appliance.provisioning.server.schema import MINTED, REFUNDED, SESSION, USAGE
from appliance.provisioning.server.sessions import Reservation
from appliance.provisioning.server.store import DatabaseStore, open_engine
from tests.support.provisioning import DEVICE, KEY, server_settings

NOW = 1_795_176_000_000
FREE = {"sessions_day": 0, "minutes_month": 0, "burst": 0, "concurrent": 0}


def serve(store: DatabaseStore, default: DevicePolicy, acknowledged: int) -> None:
    """Count, mint and settle for ever, every third time without a token; write each session that got one."""
    number = 0
    while True:
        number += 1
        reserve = partial(
            sessions.reserve, device=DEVICE, policy=default, purpose=Purpose.NEW, sequence=number, now=NOW
        )
        counted = store.transact_here(reserve)
        assert isinstance(counted, Reservation)
        if number % 3 == 0:
            store.transact_here(partial(sessions.refund, session_id=counted.session_id))
        else:
            minted = [sessions.MintedSession(counted.session_id, bytes(32))]
            assert store.transact_here(partial(sessions.mark_minted, minted=minted))
            os.write(acknowledged, f"{counted.session_id}\n".encode())


def wrong(store: DatabaseStore, acknowledged: set[str]) -> int:
    """Return how many sessions are lost or counted twice, before and after what is left over has been taken back."""
    found = 0
    for now in (NOW, NOW + sessions.ABANDONED_MS + 1):
        store.transact_here(partial(sessions.sweep, now=now))
        # One view of all: what the killed process has sent may still be arriving.
        with store.engine.connect().execution_options(isolation_level="SERIALIZABLE") as connection:
            minted = set(connection.execute(select(SESSION.c.id).where(SESSION.c.state == MINTED)).scalars())
            kept = SESSION.c.state != REFUNDED
            held, held_s = connection.execute(
                select(func.count(), func.coalesce(func.sum(SESSION.c.reserved_s), 0)).where(kept)
            ).one()
            counted, counted_s = connection.execute(
                select(func.coalesce(func.sum(USAGE.c.sessions), 0), func.coalesce(func.sum(USAGE.c.reserved_s), 0))
            ).one()
        lost = len(acknowledged - minted)
        neither = held - len(minted) if now > NOW else 0
        found += abs(counted - held) + int(counted_s != held_s) + lost + neither
    return found


def main(url: str, kills: int) -> int:
    store = DatabaseStore(open_engine(url))
    migrate.upgrade(store.engine)
    store.transact_here(lambda connection: devices.apply_settings(connection, {DEVICE: KEY.public_key()}, NOW))
    default = policy.default_policy(server_settings(limits=FREE))
    acknowledged: set[str] = set()
    chance = random.Random(7)  # noqa: S311  no secret
    found = 0
    for kill in range(kills):
        # Connections do not survive a fork.
        store.engine.dispose()
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            serve(store, default, writing)
        os.close(writing)
        if kill % 2:
            # On a busy machine most would be killed before they have done anything.
            wait([reading], timeout=10)
        time.sleep(chance.uniform(0.004, 0.03))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        with os.fdopen(reading, "rb") as told:
            acknowledged |= {line.decode() for line in told.read().split(b"\n") if len(line) == 30}
        if found := wrong(store, acknowledged):
            break
    store.close()
    sys.stdout.write(f"{len(acknowledged)} {found}\n")
    return int(found > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2])))
