"""Who runs a command, for the audit."""

import os
import pwd
from pathlib import Path
from typing import Final

LOGIN: Final = Path("/proc/self/loginuid")
"""Whose login this process comes from, by number; sudo and su leave it. Not every kernel has it."""
_NO_LOGIN: Final = 2**32 - 1


def actor() -> str:
    """Return the user that this process runs as, and the person behind it where that is another one.

    The person is the one who has logged in; where the kernel does not know, the one whom sudo names. That is in the
    environment, so whoever already is this user can put anybody there; the user itself comes from the kernel alone.
    """
    user = os.getuid()
    login = _login()
    if login is not None:
        return _named(user) if login == user else f"{_named(user)}, login of {_named(login)}"
    by_sudo = _number(os.environ.get("SUDO_UID", ""))
    return _named(user) if by_sudo is None or by_sudo == user else f"{_named(user)}, sudo of {_named(by_sudo)}"


def _login() -> int | None:
    try:
        number = _number(LOGIN.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None
    return None if number == _NO_LOGIN else number


def _number(text: str) -> int | None:
    digits = text.strip()
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) <= len(str(_NO_LOGIN)) else None


def _named(number: int) -> str:
    """Return a user's name and number; without a name where the system knows none, as in a container."""
    try:
        return f"{pwd.getpwuid(number).pw_name[:60]} (uid {number})"
    except (KeyError, OverflowError):
        return f"uid {number}"
