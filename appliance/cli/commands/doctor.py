"""The `appliance doctor` command: check this machine, and say what to do about each problem."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Final

from rich.table import Table
from rich.text import Text

from appliance.config.schema import Settings
from appliance.console.output import show, show_json
from appliance.doctor import devices, provisioning
from appliance.doctor.finding import Finding, Severity
from appliance.errors import ExitCode

STYLES: Final = {Severity.OK: "green", Severity.NOTE: "yellow", Severity.PROBLEM: "bold red"}


def doctor_command(settings: Settings, *, as_json: bool) -> int:
    """Run all checks and show the findings; return the exit code."""
    checks = (*devices.CHECKS, *provisioning.CHECKS)
    found = [*devices.cards(settings), *devices.pins(settings), *(check(settings) for check in checks)]
    return show_findings(found, as_json=as_json)


def show_findings(findings: Sequence[Finding], *, as_json: bool) -> int:
    """Show the findings; return the exit code."""
    if as_json:
        show_json([{**asdict(finding), "severity": finding.severity.value} for finding in findings])
    else:
        show(_table(findings))
    unfit = any(finding.severity is Severity.PROBLEM for finding in findings)
    return ExitCode.UNFIT if unfit else ExitCode.OK


def _table(findings: Sequence[Finding]) -> Table:
    table = Table("", "what", "found", "what to do", box=None, pad_edge=False)
    for finding in findings:
        mark = Text(finding.severity.value, STYLES[finding.severity])
        table.add_row(mark, finding.name, finding.found, finding.advice)
    return table
