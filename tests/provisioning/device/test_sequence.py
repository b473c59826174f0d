import logging

import pytest

from appliance.provisioning.device.sequence import BLOCK, FILE_NAME, SequenceCounter
from appliance.storage.private_dir import PrivateDirectory


def test_numbers_grow_one_by_one_and_from_one():
    counter = SequenceCounter(None)
    assert [counter.next() for _ in range(3)] == [1, 2, 3]


def test_after_a_restart_numbers_go_on_above_all_that_were_used(tmp_path):
    first = SequenceCounter(PrivateDirectory(tmp_path))
    used = [first.next() for _ in range(BLOCK + 5)]
    assert SequenceCounter(PrivateDirectory(tmp_path)).next() > used[-1]


def test_most_numbers_cost_no_write(tmp_path):
    counter = SequenceCounter(PrivateDirectory(tmp_path))
    counter.next()
    (tmp_path / FILE_NAME).unlink()
    for _ in range(BLOCK - 1):
        counter.next()
    assert not (tmp_path / FILE_NAME).exists()
    counter.next()
    assert (tmp_path / FILE_NAME).exists()


def test_a_jump_counts_and_is_remembered(tmp_path):
    counter = SequenceCounter(PrivateDirectory(tmp_path))
    counter.next()
    counter.advance_past(10 * BLOCK)
    assert counter.next() == 10 * BLOCK + 1
    counter.advance_past(5)
    assert counter.next() == 10 * BLOCK + 2
    assert SequenceCounter(PrivateDirectory(tmp_path)).next() > 10 * BLOCK + 2


@pytest.mark.parametrize("content", [b"", b"zero\n", b"-5\n", b"9" * 19, b"\xff\xfe"])
def test_a_damaged_file_is_replaced(tmp_path, content):
    (tmp_path / FILE_NAME).write_bytes(content)
    assert SequenceCounter(PrivateDirectory(tmp_path)).next() == 1
    assert SequenceCounter(PrivateDirectory(tmp_path)).next() > 1


def test_without_a_writable_directory_counting_goes_on_in_memory(tmp_path, caplog):
    (tmp_path / "file").write_text("")
    counter = SequenceCounter(PrivateDirectory(tmp_path / "file"))
    with caplog.at_level(logging.WARNING):
        assert [counter.next(), counter.next()] == [1, 2]
    assert len(caplog.messages) == 1
    assert "sequence-unwritable" in caplog.text
