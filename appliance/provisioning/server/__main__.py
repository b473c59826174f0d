"""`appliance-provisiond`, and `python -m appliance.provisioning.server`."""

import sys

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells report it."""


def main() -> None:
    """Run the program and exit with its code."""
    try:
        sys.exit(_run())
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


def _run() -> int:
    """Run the program and return its exit code; if the server's libraries are missing, say what to install.

    Imports are here so that Ctrl-C during them prints no traceback.
    """
    from importlib.util import find_spec  # noqa: PLC0415

    from appliance.errors import ExitCode  # noqa: PLC0415

    needed = ("alembic", "fastapi", "prometheus_client", "segno", "sqlalchemy", "uvicorn")
    missing = [name for name in needed if find_spec(name) is None]
    if missing:
        print(
            f"appliance-provisiond: {' and '.join(missing)} missing: install 'voice-appliance[server]'", file=sys.stderr
        )
        return ExitCode.UNAVAILABLE
    from appliance.provisioning.server import program  # noqa: PLC0415  its libraries are there

    return program.main()


if __name__ == "__main__":
    main()
