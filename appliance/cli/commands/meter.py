"""The `appliance meter` command: the microphone's level, as a moving bar or one line per second."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from rich.live import Live
from rich.text import Text

from appliance import app
from appliance.audio.capture.level_meter import LevelMeter, LevelReading
from appliance.audio.ports import Block
from appliance.config.schema import Settings
from appliance.console.output import console, show
from appliance.errors import ExitCode
from appliance.service.signals import stop_signals
from appliance.units import Dbfs

LEAST: Final = -60.0
"""dBFS at the left end of the bar."""
WIDTH: Final = 40
REFRESH_S: Final = 0.1
LINE_S: Final = 1.0


def meter_command(settings: Settings, seconds: float | None) -> int:
    """Show the level until Ctrl-C, for ``seconds``, or until nobody reads it any more; return the exit code.

    Raises:
        ApplianceError: The microphone cannot be opened, has stopped, or the output cannot be written.
    """
    meter = LevelMeter()
    asyncio.run(_listen(settings, meter, seconds))
    show(f"loudest {meter.loudest:.1f} dBFS, {meter.clipped} samples clipped")
    return ExitCode.OK


async def _listen(settings: Settings, meter: LevelMeter, seconds: float | None) -> None:
    stopped = asyncio.Event()

    def on_block(block: Block) -> None:
        meter.feed(block.samples)

    with stop_signals(stopped.set), _display() as shown:
        async with app.microphone_alone(settings) as microphone, asyncio.TaskGroup() as group:
            listening = group.create_task(microphone.run(on_block))
            showing = group.create_task(_show(meter, shown))
            for task in (listening, showing):
                task.add_done_callback(lambda _: stopped.set())
            try:
                async with asyncio.timeout(seconds):
                    await stopped.wait()
            except TimeoutError:
                pass
            listening.cancel()
            showing.cancel()


@contextmanager
def _display() -> Iterator[Live | None]:
    """Return a live display; None without a terminal."""
    screen = console()
    if not screen.is_terminal:
        yield None
        return
    with Live(console=screen, auto_refresh=False) as live:
        yield live


async def _show(meter: LevelMeter, live: Live | None) -> None:
    """Show readings while somebody reads them."""
    read = True
    while read:
        await asyncio.sleep(LINE_S if live is None else REFRESH_S)
        if live is None:
            read = show(words(meter.reading))
        else:
            live.update(bar(meter.reading), refresh=True)


def words(reading: LevelReading) -> str:
    """Return the reading as one line."""
    level = reading.level
    advice = f"  {reading.advice}" if reading.advice else ""
    return f"rms {level.rms:6.1f} dBFS  peak {level.peak:6.1f}  noise {reading.floor:6.1f}{advice}"


def bar(reading: LevelReading) -> Text:
    """Return the reading as a bar with marks for peak and noise floor, followed by the line."""
    filled, peak, floor = (_cell(value) for value in (reading.level.rms, reading.level.peak, reading.floor))
    text = Text()
    for cell in range(WIDTH):
        mark = "█" if cell < filled else "│" if cell == peak else "·" if cell == floor else " "
        style = "red" if cell > WIDTH * 0.95 else "yellow" if cell > WIDTH * 0.8 else "green"
        text.append(mark, style)
    return text.append(f" {words(reading)}")


def _cell(value: Dbfs) -> int:
    return round(min(max((value - LEAST) / -LEAST, 0.0), 1.0) * (WIDTH - 1))
