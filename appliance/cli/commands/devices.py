"""The `appliance devices` command: the sound cards, and the setting for each."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.table import Table

from appliance.audio.cards.alsa import Availability, ProbeResult, probe
from appliance.audio.cards.availability import pcm_owner
from appliance.audio.cards.devices import Card, Direction, cards, resolve, stable_name
from appliance.config.devices import AlsaMicrophoneSettings, AlsaSpeakerSettings
from appliance.config.schema import Settings
from appliance.console.output import show, show_json
from appliance.errors import DeviceError, ExitCode

NOTHING = (
    "No sound card was found. Plug one in and run this again; on a Raspberry Pi, `lsusb` shows whether USB sees it, "
    "and /boot/firmware/config.txt whether the built-in one is on."
)


@dataclass(frozen=True, slots=True)
class CardRow:
    """One direction of one card."""

    direction: str
    value: str
    """Value for ``microphone.device`` or ``speaker.device``."""
    also: str | None
    """Another value for the same card: its USB port, or its id."""
    name: str
    state: str
    """"free", or the reason why it cannot be opened."""
    chosen: bool
    """Whether the settings select it."""


def devices_command(settings: Settings, *, as_json: bool, root: Path = Path("/")) -> int:
    """Show all cards; return the exit code."""
    rows = [row for direction in Direction for row in _rows(direction, configured(settings, direction), root)]
    if as_json:
        show_json([asdict(row) for row in rows])
    elif rows:
        show(_table(rows))
    if not rows and not as_json:
        show(NOTHING)
    return ExitCode.OK if rows else ExitCode.NO_INPUT


def configured(settings: Settings, direction: Direction) -> str | None:
    """Return the card in the settings; None if they use no card."""
    section = settings.microphone if direction is Direction.INPUT else settings.speaker
    return section.device if isinstance(section, AlsaMicrophoneSettings | AlsaSpeakerSettings) else None


def _rows(direction: Direction, name: str | None, root: Path) -> Iterator[CardRow]:
    present = cards(root)
    usable = [card for card in present if card.devices(direction)]
    chosen = _chosen(name, direction, present)
    for card in usable:
        value = stable_name(card, usable)
        other = card.id if value.startswith("usb:") else card.usb_port and f"usb:{card.usb_port}"
        pcm = f"hw:CARD={card.id},DEV={card.devices(direction)[0]}"
        state = _state(probe(pcm, direction), pcm_owner(card, direction, root))
        is_chosen = chosen is not None and chosen.startswith(f"hw:CARD={card.id},")
        yield CardRow(direction.noun, value, other or None, card.name, state, is_chosen)
    if name and chosen == name:  # a PCM of asound.conf
        yield CardRow(direction.noun, name, None, "of asound.conf", _state(probe(name, direction), None), chosen=True)


def _chosen(name: str | None, direction: Direction, present: Sequence[Card]) -> str | None:
    """Return the PCM that the settings select, if any."""
    if name is None:
        return None
    try:
        return resolve(name, direction, present).pcm
    except DeviceError:
        return None


def _state(probed: ProbeResult, owner: str | None) -> str:
    match probed.availability:
        case Availability.AVAILABLE:
            return "free"
        case Availability.BUSY:
            return f"in use by {owner or 'another program'}"
        case Availability.DENIED:
            return "permission denied: add this user to the group audio"
        case Availability.ABSENT:
            return "not there"
        case _:
            return f"cannot be opened: {probed.error}" if probed.error else "cannot be opened"


def _table(rows: Sequence[CardRow]) -> Table:
    table = Table("for", "set it to", "or to", "card", "now", "chosen", box=None, pad_edge=False)
    for row in rows:
        style = "bold" if row.chosen else ""
        setting = f"{row.direction}.device"
        table.add_row(setting, row.value, row.also or "", row.name, row.state, "yes" if row.chosen else "", style=style)
    return table
