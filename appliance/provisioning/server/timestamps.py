"""Timestamps of the database (milliseconds since 1970, days as YYYYMMDD), and new identifiers. Pure."""

import secrets
from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

UTC_NAME: Final = "UTC"
_ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"


def milliseconds(moment: datetime) -> int:
    """Return ``moment`` as milliseconds since 1970."""
    return round(moment.timestamp() * 1000)


def moment(milliseconds: int) -> datetime:
    """Return a timestamp of the database as a UTC datetime."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def day_of(milliseconds: int, time_zone: str = UTC_NAME) -> int:
    """Return the day, YYYYMMDD, in ``time_zone`` (IANA)."""
    return _number(_local(milliseconds, time_zone))


def first_day(days: int, milliseconds: int, time_zone: str = UTC_NAME) -> int:
    """Return the first of ``days`` days, YYYYMMDD, the last of which contains ``milliseconds``."""
    # By the calendar: some days have 23 or 25 hours.
    return _number(_local(milliseconds, time_zone) - timedelta(days=days - 1))


def day_began(milliseconds: int, time_zone: str = UTC_NAME) -> datetime:
    """Return when the day began, in UTC."""
    return _midnight(_local(milliseconds, time_zone))


def next_day(milliseconds: int, time_zone: str = UTC_NAME) -> datetime:
    """Return when the day ends, in UTC."""
    return _midnight(_local(milliseconds, time_zone) + timedelta(days=1))


def next_month(milliseconds: int, time_zone: str = UTC_NAME) -> datetime:
    """Return when the month ends, in UTC."""
    return _midnight((_local(milliseconds, time_zone).replace(day=1) + timedelta(days=32)).replace(day=1))


def _local(milliseconds: int, time_zone: str) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC if time_zone == UTC_NAME else ZoneInfo(time_zone))


def _number(date: datetime) -> int:
    return date.year * 10_000 + date.month * 100 + date.day


def _midnight(local: datetime) -> datetime:
    # In local time: some days have 23 or 25 hours.
    return local.replace(hour=0, minute=0, second=0, microsecond=0, fold=0).astimezone(UTC)


def new_id(prefix: str, milliseconds: int) -> str:
    """Return an identifier that sorts by time and cannot be guessed: a prefix and 26 characters."""
    number = (milliseconds << 80) | secrets.randbits(80)
    characters = [_ALPHABET[(number >> shift) & 31] for shift in range(125, -1, -5)]
    return f"{prefix}_{''.join(characters)}"
