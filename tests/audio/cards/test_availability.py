"""Who has a card open."""

from appliance.audio.cards.availability import pcm_owner
from appliance.audio.cards.devices import Card, Direction

CARD = Card(1, "Device", "USB PnP Sound Device", None, (0,), (0,))


def test_the_program_that_has_a_card_open_is_named(tmp_path):
    status = tmp_path / "proc/asound/card1/pcm0c/sub0/status"
    status.parent.mkdir(parents=True)
    status.write_text("state: RUNNING\nowner_pid   : 4711\ntrigger_time: 1.2\n")
    comm = tmp_path / "proc/4711/comm"
    comm.parent.mkdir(parents=True)
    comm.write_text("pulseaudio\n")
    assert pcm_owner(CARD, Direction.INPUT, tmp_path) == "pulseaudio (4711)"
    assert pcm_owner(CARD, Direction.OUTPUT, tmp_path) is None
    comm.unlink()
    assert pcm_owner(CARD, Direction.INPUT, tmp_path) == "process 4711"
    status.write_text("closed\n")
    assert pcm_owner(CARD, Direction.INPUT, tmp_path) is None
