"""The program ``appliance-simulator``.

Prints one line of JSON to standard output when it is ready and events to standard error. SIGTERM, SIGINT and SIGHUP
stop it.
"""

import argparse
import asyncio
import ipaddress
import json
import logging
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from rich.table import Table

from appliance.console.argument_types import Parser, float_between, int_between
from appliance.console.output import show
from appliance.errors import ApplianceError, ExitCode, InputError
from appliance.service.signals import stop_signals
from appliance.simulator.contract.locks import GlobalLock
from appliance.simulator.model.replies import DEFAULT_SCRIPT, Reply
from appliance.simulator.model.resumption import UNKNOWN_CODES
from appliance.simulator.model.turn import TranscriptTiming
from appliance.simulator.options import DEFAULT_API_KEY, SimulatorOptions, VoiceActivity
from appliance.simulator.scenario.file import load, shipped
from appliance.simulator.server import Simulator
from appliance.voice.fallback import FallbackVoiceDetector
from appliance.voice.models import load as load_voice
from appliance.voice.ports import VoiceDetector
from appliance.voice.silero import SileroVoiceDetector

_SECONDS: Final = float_between(0, 3600)


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the program; return its exit code. Raises KeyboardInterrupt except while it serves."""
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="simulator: %(message)s")
    chosen = parser().parse_args(arguments)
    try:
        if chosen.list_scenarios:
            _list_scenarios()
        else:
            asyncio.run(_serve(options_from(chosen)))
    except ApplianceError as error:
        sys.stderr.write(f"appliance-simulator: {error}\n")
        return error.exit_code
    return ExitCode.OK


async def _serve(options: SimulatorOptions) -> None:
    stopped = asyncio.Event()
    with stop_signals(stopped.set):
        await _serve_until(stopped, options)


async def _serve_until(stopped: asyncio.Event, options: SimulatorOptions) -> None:
    async with Simulator(options) as simulator:
        ready = {"base_url": simulator.base_url, "ca_file": str(simulator.ca_file)}
        with suppress(OSError):  # nobody reads it; serve clients all the same
            print(json.dumps(ready), flush=True)  # noqa: T201  for programs
        await stopped.wait()


def _list_scenarios() -> None:
    table = Table("scenario", "what the service does", box=None, pad_edge=False)
    for name in shipped():
        table.add_row(name, load(name).description)
    show(table)


def parser() -> argparse.ArgumentParser:
    """Return the command line's parser."""
    parser = Parser(prog="appliance-simulator", description="The Gemini Live API, without Google.")
    parser.add_argument(
        "--address", type=_address, default="127.0.0.1", help="address to listen on; default: loopback only"
    )
    parser.add_argument("--port", type=int_between(0, 65_535), default=0, help="default: any free port")
    parser.add_argument("--directory", type=Path, help="directory for ca.pem; default: a temporary one")
    parser.add_argument(
        "--record", type=Path, metavar="DIRECTORY", help="write a WAV and a JSON file for each connection here"
    )
    parser.add_argument("--link-delay", type=_SECONDS, default=0.0, metavar="SECONDS", help="wait before setupComplete")
    parser.add_argument("--thinking", type=_SECONDS, default=0.0, metavar="SECONDS", help="wait before each reply")
    parser.add_argument(
        "--reply", type=Path, action="append", metavar="FILE.wav", help="24 kHz mono; repeat for further turns"
    )
    parser.add_argument(
        "--voice-activity",
        choices=[one.value for one in VoiceActivity],
        default=VoiceActivity.BY_MODEL.value,
        help="whether to report when the person begins and stops speaking; default: as the model does",
    )
    parser.add_argument(
        "--voices-only",
        action="store_true",
        help="take only voices for the person's speech, not any sound that is loud enough",
    )
    parser.add_argument(
        "--transcripts",
        choices=[one.value for one in TranscriptTiming],
        default=TranscriptTiming.PROMPT.value,
        help="when the person's transcript comes; default: as the reply begins",
    )
    parser.add_argument(
        "--api-key", default=DEFAULT_API_KEY, help=f"the only API key accepted; default: {DEFAULT_API_KEY}"
    )
    parser.add_argument("--refuse-tokens", action="store_true", help="answer every token request with 403")
    parser.add_argument(
        "--scenario",
        action="append",
        default=[],
        metavar="NAME|FILE.toml",
        help="what goes wrong; repeat for further connections, the last one applies to all that follow",
    )
    parser.add_argument(
        "--time-scale",
        type=float_between(0.001, 100),
        default=1.0,
        metavar="FACTOR",
        help="multiply all times in scenarios",
    )
    parser.add_argument(
        "--global-lock",
        choices=[one.value for one in GlobalLock],
        default=GlobalLock.IGNORES_HANDLE.value,
        help="effect of a token that locks the whole set-up; default: %(default)s",
    )
    parser.add_argument(
        "--unknown-handle",
        type=int,
        choices=UNKNOWN_CODES,
        default=UNKNOWN_CODES[0],
        help="close code for an unknown handle; default: %(default)s",
    )
    parser.add_argument(
        "--list-scenarios", action="store_true", help="list the scenarios that come with the simulator, and exit"
    )
    return parser


def options_from(chosen: argparse.Namespace) -> SimulatorOptions:
    """Return the options that the command line asks for; raises InputError."""
    for directory in (chosen.directory, chosen.record):
        if directory is not None and not os.path.isdir(directory):  # noqa: PTH112  Path.is_dir may raise
            raise InputError(f"{directory} is not a directory", ExitCode.NO_INPUT)
    return SimulatorOptions(
        address=chosen.address,
        port=chosen.port,
        directory=chosen.directory,
        record=chosen.record,
        api_key=chosen.api_key,
        refuse_tokens=chosen.refuse_tokens,
        link_delay_s=chosen.link_delay,
        thinking_s=chosen.thinking,
        voice_activity=VoiceActivity(chosen.voice_activity),
        voice_detector=_load_voice_detector() if chosen.voices_only else None,
        transcripts=TranscriptTiming(chosen.transcripts),
        replies=tuple(Reply(path) for path in chosen.reply) if chosen.reply else DEFAULT_SCRIPT,
        scenarios=tuple(load(name) for name in chosen.scenario),
        time_scale=chosen.time_scale,
        global_lock=GlobalLock(chosen.global_lock),
        unknown_handle_code=chosen.unknown_handle,
    )


def _load_voice_detector() -> Callable[[], VoiceDetector]:
    """Return what makes a detector for each session; the slow part of it is done here."""

    def make() -> VoiceDetector:
        return FallbackVoiceDetector(lambda: SileroVoiceDetector(load_voice()))

    make()
    return make


def _address(text: str) -> str:
    try:
        return str(ipaddress.IPv4Address(text))
    except ValueError:
        raise argparse.ArgumentTypeError("must be an IPv4 address") from None
