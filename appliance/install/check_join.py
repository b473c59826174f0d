"""``python -m appliance.install.check_join FILE``: checks the join string before anything is downloaded."""

import sys
from pathlib import Path

from appliance.install.command import read_join_file
from appliance.install.step import StepFailed


def main() -> int:
    """Print an error that does not quote the file; return the exit code."""
    try:
        read_join_file(Path(sys.argv[1]))
    except StepFailed as error:
        sys.stderr.write(f"provision: error: {error}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
