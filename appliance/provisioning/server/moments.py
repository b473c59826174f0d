"""Times as the database keeps them (milliseconds since 1970, days as YYYYMMDD, in UTC), and new identifiers. Pure."""

import secrets
from datetime import UTC, datetime, timedelta
from typing import Final

_ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"


def milliseconds(moment: datetime) -> int:
    """Return ``moment`` as the database keeps it."""
    return round(moment.timestamp() * 1000)


def moment(milliseconds: int) -> datetime:
    """Return the moment that the database holds."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def day_of(milliseconds: int) -> int:
    """Return the day, YYYYMMDD."""
    date = moment(milliseconds)
    return date.year * 10_000 + date.month * 100 + date.day


def next_day(milliseconds: int) -> datetime:
    """Return when the day ends."""
    return moment(milliseconds).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)


def next_month(milliseconds: int) -> datetime:
    """Return when the month ends."""
    first = moment(milliseconds).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return (first + timedelta(days=32)).replace(day=1)


def new_id(prefix: str, milliseconds: int) -> str:
    """Return an identifier that sorts by time and cannot be guessed: a prefix and 26 characters (130 bits)."""
    number = (milliseconds << 80) | secrets.randbits(80)
    characters = [_ALPHABET[(number >> shift) & 31] for shift in range(125, -1, -5)]
    return f"{prefix}_{''.join(characters)}"
