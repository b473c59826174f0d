"""Run a module until its parent process ends: ``python -m appliance.demo.run_with_parent MODULE ARGUMENT…``.

The demo's servers run in separate sessions, which Ctrl-C does not reach. Their standard input ends with the demo, even
if the demo is killed; then they get SIGTERM.
"""

import os
import runpy
import signal
import sys
import threading


def main() -> None:
    """Run the module that the command line names."""
    threading.Thread(target=_terminate_with_parent, name="parent", daemon=True).start()
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


def _terminate_with_parent() -> None:
    """Wait for the end of standard input, then terminate this process."""
    # Not through sys.stdin: the interpreter cannot exit while a thread waits in it.
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main()
