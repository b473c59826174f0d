"""``python -m appliance.install.joincheck FILE``: is there a join string? Asked before anything is fetched."""

import sys
from pathlib import Path

from appliance.install.command import read_join_file
from appliance.install.step import StepFailed


def main() -> int:
    """Say what is wrong in one line that does not quote it; return the exit code."""
    try:
        read_join_file(Path(sys.argv[1]))
    except StepFailed as error:
        sys.stderr.write(f"provision: error: {error}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
