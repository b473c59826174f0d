import subprocess
import sys

import pytest

SNIPPET = """
import sys
import appliance.provisioning.device.enrolment, appliance.provisioning.device.token_manager
server = {"fastapi", "starlette", "uvicorn", "sqlalchemy", "alembic", "psycopg", "appliance.provisioning.server"}
foreign = {*server, "google"} & set(sys.modules)
sys.exit(", ".join(sorted(foreign)) or 0)
"""


@pytest.mark.slow
def test_the_device_half_needs_nothing_of_the_server_and_not_the_sdk():
    done = subprocess.run([sys.executable, "-c", SNIPPET], capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stderr) == (0, "")
