"""`appliance-provisiond`, and `python -m appliance.provisioning.server`."""

import sys
from importlib.util import find_spec
from typing import NoReturn

from appliance.errors import ExitCode


def main() -> NoReturn:
    """Run the program and exit with its code; without the libraries of the server, say what to install."""
    needed = ("alembic", "fastapi", "prometheus_client", "segno", "sqlalchemy", "uvicorn")
    missing = [name for name in needed if find_spec(name) is None]
    if missing:
        print(
            f"appliance-provisiond: {' and '.join(missing)} missing: install 'voice-appliance[server]'", file=sys.stderr
        )
        sys.exit(ExitCode.UNAVAILABLE)
    from appliance.provisioning.server import program  # noqa: PLC0415  only now is it sure to import

    sys.exit(program.main())


if __name__ == "__main__":
    main()
