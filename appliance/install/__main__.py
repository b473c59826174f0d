"""`python -m appliance.install`."""

import sys

from appliance.install.command import main

if __name__ == "__main__":
    sys.exit(main())
