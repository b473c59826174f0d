"""Who has to leave when there are too many connections: whoever keeps the server waiting, never who has asked."""

import pytest

from appliance.provisioning.server.connection_limits import BRIEF_S, LONGEST_S, ConnectionLimits, Peer, Stage, origin_of

MOST = 6


def peer(room: ConnectionLimits, origin: str, at: float) -> Peer:
    made = Peer(origin, at, lambda: None)
    room.add(made)
    return made


def full(*origins: str) -> tuple[ConnectionLimits, list[Peer]]:
    room = ConnectionLimits(MOST)
    return room, [peer(room, origin, float(number)) for number, origin in enumerate(origins)]


def test_while_there_is_room_nobody_has_to_leave():
    room, _ = full("a", "a", "b", "c", "d")
    assert room.to_evict_for("a", 5.0) is None


def test_one_address_has_half_of_the_room_to_wait_for_and_its_longest_waiting_makes_way_for_its_next():
    room, peers = full("b", "a", "a", "a")
    assert room.to_evict_for("a", 5.0) is peers[1]
    assert room.to_evict_for("b", 5.0) is None


def test_in_a_full_room_the_longest_waiting_of_the_address_with_most_makes_way():
    room, peers = full("c", "b", "a", "b", "d", "e")
    assert room.to_evict_for("f", 5.0) is peers[1]


def test_whoever_is_being_answered_stays():
    room, peers = full("a", "a", "b", "c", "d", "e")
    room.move(peers[0], Stage.WORK, 10.0)
    room.move(peers[1], Stage.WORK, 10.0)
    assert room.to_evict_for("f", 5.0) is peers[2]
    for one in peers:
        room.move(one, Stage.WORK, 11.0)
    assert room.longest_waiting(12.0) is None


def test_who_has_got_further_was_not_waited_for_as_long():
    room, peers = full("a", "a", "b", "c", "d", "e")
    room.move(peers[0], Stage.READY, 10.0)
    assert room.to_evict_for("f", 10.0) is peers[1]


def test_whoever_has_said_nothing_leaves_before_those_who_have_unless_there_was_no_time_to():
    room, peers = full("a", "a", "a", "a", "a")
    for one in peers:
        room.move(one, Stage.REQUEST, 5.0)
    silent = peer(room, "a", 6.0)
    assert room.to_evict_for("f", 6.0 + BRIEF_S - 0.1) is peers[0]
    assert room.to_evict_for("f", 6.0 + BRIEF_S + 0.1) is silent


@pytest.mark.parametrize("stage", Stage)
def test_no_stage_lasts_for_ever_and_staying_in_it_does_not_prolong_it(stage: Stage):
    room = ConnectionLimits(MOST)
    one = peer(room, "a", 0.0)
    room.move(one, stage, 0.0)
    room.move(one, stage, LONGEST_S[stage] - 0.1)
    assert room.overdue(LONGEST_S[stage] - 0.1) == []
    assert room.overdue(LONGEST_S[stage] + 0.1) == [one]


def test_who_has_left_does_not_count_and_does_not_come_back():
    room, peers = full("a", "a", "a")
    for one in (*peers, peers[0]):
        room.remove(one)
    room.move(peers[0], Stage.WORK, 5.0)
    assert len(room) == 0
    assert room.to_evict_for("a", 5.0) is None
    assert room.overdue(1e9) == []


@pytest.mark.parametrize(
    ("address", "origin"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("fe80::1%eth0", "fe80::"),
        ("", ""),
    ],
)
def test_what_a_machine_can_change_at_will_is_not_part_of_where_it_comes_from(address: str, origin: str):
    assert origin_of(address) == origin
