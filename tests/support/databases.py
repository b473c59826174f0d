"""A PostgreSQL server of our own, on a Unix socket, as nobody in particular; and databases on both engines."""

import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any, Literal

from sqlalchemy import create_engine, text

_names = count()


def programs() -> Path | None:
    """Return the directory of PostgreSQL's own programs, where Debian puts them; None: there are none."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return found[-1].parent if found else None


@contextmanager
def postgres(where: Path, fsync: Literal["off", "on"] = "off") -> Iterator[str]:
    """Run a server; yield its address, without a database."""
    home = Path(tempfile.mkdtemp(prefix="pg-"))
    user = "nobody" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
    if os.geteuid() == 0:
        shutil.chown(home, user)
    run_as: dict[str, Any] = {"user": user, "cwd": home} if os.geteuid() == 0 else {"cwd": home}
    data = home / "data"
    initdb = [
        str(where / "initdb"),
        "-D",
        str(data),
        "-U",
        "test",
        "-A",
        "trust",
        "-E",
        "UTF8",
        "--no-locale",
        "--no-sync",
    ]
    subprocess.run(initdb, check=True, capture_output=True, **run_as)
    options = [str(where / "postgres"), "-D", str(data), "-k", str(home)]
    options += ["-c", "listen_addresses=", "-c", f"fsync={fsync}", "-c", "max_connections=60"]
    with (home / "log").open("wb") as log:
        server = subprocess.Popen(options, stdout=log, stderr=log, **run_as)
    try:
        _wait(f"postgresql+psycopg://test@/postgres?host={home}")
        yield f"postgresql://test@/{{name}}?host={home}"
    finally:
        server.terminate()
        server.wait(20)
        shutil.rmtree(home, ignore_errors=True)


def new_database(server: str) -> str:
    """Return the address of a new, empty database of a server."""
    name = f"test{next(_names)}"
    engine = create_engine(server.format(name="postgres").replace("postgresql:", "postgresql+psycopg:"))
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    engine.dispose()
    return server.format(name=name)


def _wait(url: str) -> None:
    engine = create_engine(url)
    deadline = time.monotonic() + 30
    while True:
        try:
            with engine.connect():
                break
        except Exception:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
    engine.dispose()
