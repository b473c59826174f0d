"""Runs a program until whoever started it is gone: ``python -m appliance.demo.run_with_parent MODULE ARGUMENT…``.

The demo's servers run in a session of their own, where Ctrl-C does not reach them. Their standard input is the tether:
it ends with the demo, also where that is killed, and then the program gets SIGTERM.
"""

import os
import runpy
import signal
import sys
import threading


def main() -> None:
    """Run the module that the command line names."""
    threading.Thread(target=_end_with_starter, name="tether", daemon=True).start()
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


def _end_with_starter() -> None:
    """Wait for the end of the standard input."""
    # Not through sys.stdin: a thread that waits in it is fatal to the interpreter's end.
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main()
