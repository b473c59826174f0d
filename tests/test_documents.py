"""What is generated from the code is current."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def test_generated_documents_are_current():
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "render-docs"), "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
