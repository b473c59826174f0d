"""Names of sound cards: stable ones are found, others refused with what to set instead."""

import pytest

from appliance.audio.cards.devices import Card, Direction, cards, resolve, stable_name
from appliance.errors import MicrophoneError, SpeakerError
from tests.support.alsa import machine

HDMI = Card(0, "vc4hdmi0", "vc4-hdmi-0", None, (), (0,))
USB = Card(1, "Device", "USB PnP Sound Device", "1-1.3", (0,), (0,))
TWIN = Card(2, "Device_1", "USB PnP Sound Device", "1-1.4", (0,), (0,))
JABRA = Card(3, "SP", "Jabra SPEAK 410 USB", "1-1.2", (0, 1), (0,))
IN, OUT = Direction.INPUT, Direction.OUTPUT


def test_the_cards_of_a_machine_are_read_with_their_ports(tmp_path):
    assert cards(machine(tmp_path)) == (
        Card(0, "vc4hdmi0", "vc4-hdmi-0", None, (), (0,)),
        Card(1, "Device", "USB PnP Sound Device", "1-1.3", (0, 1), (0,)),
    )


def test_a_machine_without_alsa_has_none(tmp_path):
    assert cards(tmp_path) == ()


@pytest.mark.parametrize(
    ("wanted", "pcm", "portaudio"),
    [
        ("Device", "hw:CARD=Device,DEV=0", "(hw:1,0)"),
        ("hw:CARD=Device", "hw:CARD=Device,DEV=0", "(hw:1,0)"),
        ("plughw:CARD=SP,DEV=1", "hw:CARD=SP,DEV=1", "(hw:3,1)"),
        ("usb:1-1.2", "hw:CARD=SP,DEV=0", "(hw:3,0)"),
        ("jabra", "hw:CARD=SP,DEV=0", "(hw:3,0)"),
        ("Jabra SPEAK 410 USB", "hw:CARD=SP,DEV=0", "(hw:3,0)"),
        ("my_mic", "my_mic", "my_mic"),
    ],
)
def test_a_stable_name_is_found(wanted, pcm, portaudio):
    target = resolve(wanted, IN, (HDMI, USB, JABRA))
    assert (target.pcm, target.portaudio) == (pcm, portaudio)


def test_without_a_name_the_only_card_is_taken():
    assert resolve("", OUT, (HDMI,)).pcm == "hw:CARD=vc4hdmi0,DEV=0"
    assert resolve("", IN, (HDMI, USB)).pcm == "hw:CARD=Device,DEV=0"


@pytest.mark.parametrize(
    ("wanted", "direction", "present", "says"),
    [
        ("", OUT, (HDMI, USB), "speaker.device: there is more than one; set speaker.device to vc4hdmi0 or Device"),
        ("", IN, (HDMI,), "no microphone is plugged in: plug one in, and check with `appliance devices`"),
        ("usb pnp", IN, (USB, TWIN), "set microphone.device to usb:1-1.3 or usb:1-1.4"),
        ("hw:CARD=Gone", IN, (USB,), "the microphone hw:CARD=Gone is not plugged in; set microphone.device to Device"),
        ("usb:3-1", IN, (USB,), "the microphone usb:3-1 is not plugged in"),
        ("hw:CARD=Device,DEV=7", IN, (USB,), "Device has no device 7; it has 0"),
        ("hw:1,0", IN, (USB,), "hw:1,0 has a number that may change; set microphone.device to Device"),
        ("hdmi:CARD=0,DEV=0", OUT, (USB,), "hdmi:CARD=0,DEV=0 has a number that may change; set speaker.device to"),
        ("sysdefault:1", OUT, (USB,), "sysdefault:1 has a number that may change; set speaker.device to Device"),
        ("1", OUT, (USB,), "1 has a number that may change; set speaker.device to Device"),
        ("0", OUT, (), "0 has a number that may change; no speaker is plugged in"),
    ],
)
def test_an_ambiguous_or_unknown_name_is_refused_with_what_to_set(wanted, direction, present, says):
    with pytest.raises(MicrophoneError if direction is IN else SpeakerError) as caught:
        resolve(wanted, direction, present)
    assert says in str(caught.value)


def test_twins_are_told_apart_by_their_ports():
    assert [stable_name(card, (USB, TWIN, JABRA)) for card in (USB, TWIN, JABRA)] == ["usb:1-1.3", "usb:1-1.4", "SP"]


def test_portaudio_calls_a_card_by_its_number_and_a_pcm_by_its_name():
    target = resolve("Device", IN, (USB,))
    assert target.is_portaudio("USB PnP Sound Device: Audio (hw:1,0)")
    assert not target.is_portaudio("Other: Audio (hw:11,0)")
    assert not resolve("my_mic", IN, ()).is_portaudio("my_mic2")
