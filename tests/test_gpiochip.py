"""A machine without GPIO pins says so in one line."""

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
from appliance.errors import GpioError
from appliance.gpiochip import gpio_chip

try:
    with gpio_chip():
        print("opened")
except GpioError as error:
    print(error)
"""


@pytest.mark.skipif(Path("/dev/gpiochip0").exists(), reason="this machine has GPIO pins")
def test_a_machine_without_pins_is_one_line(tmp_path: Path):
    # In a process of its own: the pin library leaves a thread and a pipe behind.
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout.startswith("the GPIO chip cannot be opened: ")
    assert (done.stdout.count("\n"), done.stderr) == (1, "")
