"""The command `appliance`, also as `python -m appliance`."""

import signal
from typing import NoReturn


def main() -> NoReturn:
    """Run it; Ctrl-C ends it without a word until a command has something to end in order."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    from appliance.cli.main import main as run  # noqa: PLC0415  loading it takes a moment, in which Ctrl-C may come

    run()


if __name__ == "__main__":
    main()
