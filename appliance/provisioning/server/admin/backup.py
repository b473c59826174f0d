"""Backs up a server to one file, restores it, and moves its database to another engine.

The file is a tar archive of the database and the keys. Keep it secret: its holder can answer as the server.
"""

import io
import json
import os
import shutil
import tarfile
import tempfile
from argparse import Namespace
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, select

from appliance.errors import ExitCode, InputError
from appliance.provisioning.server import audit, claims, identity
from appliance.provisioning.server.admin.actions import Operator
from appliance.provisioning.server.admin.show import Row
from appliance.provisioning.server.database_copy import copy, different_url, is_empty, opened, use_snapshot
from appliance.provisioning.server.identity import own_key
from appliance.provisioning.server.schema import CLAIM
from appliance.provisioning.server.settings import DATABASE_FILE, ServerSettings, load_for_admin

FORMAT: Final = 1
_ABOUT: Final = "backup.json"
_MAX_KEY_BYTES: Final = 4096


def backup(connection: Connection, operator: Operator, options: Namespace, settings: ServerSettings) -> Row:
    """Write database and keys to a new file. The server may keep running.

    Raises:
        InputError: The file cannot be written, or exists already.
        ConfigurationError: The keys cannot be read, or are not those of the database.
    """
    use_snapshot(connection)
    own_key(connection, settings)
    audit.append(connection, audit.Entry(operator.now, operator.name, audit.AuditAction.BACKED_UP, "database"))
    file: Path = options.file
    about = {"format": FORMAT, "at": datetime.fromtimestamp(operator.now / 1000, UTC).isoformat()}
    try:
        with tempfile.TemporaryDirectory() as scratch:
            database = Path(scratch) / DATABASE_FILE
            with opened(f"sqlite:///{database}", "database_url") as other:
                count = other.transact_here(lambda target: copy(connection, target))
            _write(file, database, {_ABOUT: json.dumps(about).encode(), **identity.key_files(settings)})
    except OSError as error:
        raise InputError(f"{file} cannot be written: {error.strerror}", ExitCode.CANNOT_WRITE) from error
    return {"file": str(file), "devices": count}


def restore(connection: Connection, operator: Operator, options: Namespace, settings: ServerSettings) -> Row:
    """Restore a backup into an empty database, and its keys beside it. Stop the server first.

    Claims are revoked: one that was used after the backup would be valid again.

    Raises:
        InputError: The file is not a backup, or the database is not empty.
        ConfigurationError: The keys cannot be written, or the backup is of a newer server.
    """
    if not is_empty(connection):
        raise InputError("the database is not empty: restore into a new state directory", ExitCode.CANNOT_WRITE)
    with tempfile.TemporaryDirectory() as scratch:
        keys = _read(options.file, Path(scratch) / DATABASE_FILE)
        with opened(f"sqlite:///{Path(scratch) / DATABASE_FILE}", str(options.file)) as other:
            count = other.transact_here(lambda source: copy(source, connection))
    # After everything was read, so that a damaged backup changes nothing; and before the commit: a server refuses a
    # database without its keys, while keys alone do no harm.
    identity.put_key_files(settings, keys)
    entry = audit.Entry(operator.now, operator.name, audit.AuditAction.RESTORED, "database")
    audit.append(connection, entry)
    for claim in connection.execute(select(CLAIM.c.id).where(CLAIM.c.revoked_at.is_(None))).scalars().all():
        claims.revoke(connection, claim, operator.now, operator.name)
    own_key(connection, settings)
    return {"file": str(options.file), "devices": count}


def move(connection: Connection, operator: Operator, options: Namespace, settings: ServerSettings) -> Row:
    """Copy the database into the one of other settings. Stop the server first. The keys stay where they are.

    Raises:
        ConfigurationError: These settings cannot be used.
        InputError: The other database is not empty.
    """
    use_snapshot(connection)
    target = load_for_admin(options.settings, {})
    url = different_url(settings.database(), target.database())
    entry = audit.Entry(operator.now, operator.name, audit.AuditAction.MOVED, "database")
    with opened(url, "database_url") as other:

        def work(connection_there: Connection) -> int:
            count = copy(connection, connection_there)
            audit.append(connection_there, entry)
            return count

        count = other.transact_here(work)
        engine = other.engine.dialect.name
    return {"moved_to": engine, "devices": count}


def _write(file: Path, database: Path, others: Mapping[str, bytes]) -> None:
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
        try:
            with tarfile.open(fileobj=stream, mode="w") as archive:
                for name, content in others.items():
                    archive.addfile(_member(name, len(content)), io.BytesIO(content))
                with database.open("rb") as source:
                    archive.addfile(_member(DATABASE_FILE, database.stat().st_size), source)
            stream.flush()
            os.fsync(stream.fileno())
        except BaseException:
            file.unlink()
            raise


def _member(name: str, size: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size, member.mode = size, 0o600
    return member


def _read(file: Path, database: Path) -> dict[str, bytes]:
    """Write the database of a backup to ``database``, and return its keys by file name; raises InputError."""
    try:
        with tarfile.open(file) as archive:
            return _unpacked(archive, database)
    except FileNotFoundError:
        raise InputError(f"{file}: does not exist", ExitCode.NO_INPUT) from None
    except OSError as error:
        raise InputError(f"{file}: cannot be read: {error.strerror}", ExitCode.NO_INPUT) from None
    except (tarfile.TarError, ValueError, KeyError, TypeError, EOFError):
        raise InputError(f"{file}: is not a backup made by `admin backup`, or is incomplete") from None


def _unpacked(archive: tarfile.TarFile, database: Path) -> dict[str, bytes]:
    contents = {member.name: content for member in archive if (content := archive.extractfile(member)) is not None}
    about = json.loads(contents[_ABOUT].read(_MAX_KEY_BYTES))
    if about["format"] != FORMAT:
        raise InputError("the backup was made by a newer version of this server")
    with database.open("wb") as target:
        shutil.copyfileobj(contents[DATABASE_FILE], target)
    keys = {name: contents[name].read(_MAX_KEY_BYTES) for name in identity.KEY_FILES if name in contents}
    if identity.KEY_FILES[0] not in keys:
        raise KeyError(identity.KEY_FILES[0])
    return keys
