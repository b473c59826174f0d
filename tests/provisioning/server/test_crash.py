import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


def killed(url: str, times: int) -> int:
    """Return how many sessions were acknowledged; none of them is lost, and no other is counted."""
    arguments = [sys.executable, "-m", "tests.provisioning.server.crash", url, str(times)]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=900, check=False, cwd=ROOT)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    return int(done.stdout.split()[0])


@pytest.mark.realtime
def test_a_server_that_is_killed_while_it_counts_loses_nothing_and_doubles_nothing(database_url):
    assert killed(database_url, 2) > 0


@pytest.mark.slow
@pytest.mark.realtime
@pytest.mark.timeout(1000)
def test_a_thousand_times(database_url):
    assert killed(database_url, 1000) > 1000
