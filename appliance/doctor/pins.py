"""Checks of the pins: they are claimed and given back, as the daemon claims them."""

from collections.abc import Iterator
from contextlib import chdir
from tempfile import TemporaryDirectory

from appliance import app
from appliance.config.schema import Settings
from appliance.doctor.finding import Finding, Severity
from appliance.net.event_loop import run


def pins(settings: Settings, busy: Severity = Severity.NOTE) -> Iterator[Finding]:
    """Tell whether those of the light and of the button can be used; nothing where the settings name none.

    ``busy`` is how much it matters that another program has one: that may be the daemon.
    """
    with TemporaryDirectory() as folder, chdir(folder):  # lgpio leaves pipes in the working directory
        tried = run(app.try_pins(settings))
    for name, error in tried.items():
        if error is None:
            yield Finding(name, Severity.OK, "its pins can be claimed")
        elif busy is Severity.NOTE and "busy" in str(error).lower():
            yield Finding(name, busy, str(error), "all is well if that is the daemon: systemctl status appliance")
        else:
            yield Finding(name, Severity.PROBLEM, str(error), f"fix it, or set another {_SECTION[name]}.kind")


_SECTION = {"light": "indicator", "button": "button"}
