import os
import stat

import pytest

from appliance.errors import ConfigurationError, ExitCode, InputError
from appliance.storage.private_dir import DEFAULT, VARIABLE, PrivateDirectory, state_directory


def test_a_file_is_its_owners_alone_and_replaced_as_a_whole(tmp_path):
    directory = PrivateDirectory(tmp_path / "state")
    directory.write("a", "one")
    directory.write("a", "two")
    assert directory.read("a") == "two"
    assert stat.S_IMODE((tmp_path / "state" / "a").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o700
    assert directory.names() == ["a"]


def test_what_a_power_cut_has_left_is_written_over(tmp_path):
    (tmp_path / ".a.new").write_text("half")
    (tmp_path / ".a.new").chmod(0o644)
    directory = PrivateDirectory(tmp_path)
    directory.write("a", "whole")
    assert directory.read("a") == "whole"
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o600
    assert directory.names() == ["a"]


def test_what_is_not_there_is_nothing(tmp_path):
    directory = PrivateDirectory(tmp_path / "absent")
    assert directory.read("a") is None
    assert directory.names() == []
    directory.remove("a")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_files_that_root_writes_belong_to_whom_the_directory_belongs(tmp_path):
    os.chown(tmp_path, 65534, 65534)
    PrivateDirectory(tmp_path).write("a", "one")
    owner = (tmp_path / "a").stat()
    assert (owner.st_uid, owner.st_gid) == (65534, 65534)


def test_a_directory_that_is_none_is_told_in_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    directory = PrivateDirectory(tmp_path / "file")
    with pytest.raises(ConfigurationError, match="cannot be used"):
        directory.write("a", "x")
    with pytest.raises(ConfigurationError, match="cannot be used"), directory.locked():
        raise AssertionError


def test_one_program_at_a_time(tmp_path):
    with PrivateDirectory(tmp_path).locked():
        with pytest.raises(InputError) as caught, PrivateDirectory(tmp_path).locked():
            raise AssertionError
        assert caught.value.exit_code == ExitCode.UNAVAILABLE
    with PrivateDirectory(tmp_path).locked():
        pass


def test_what_goes_wrong_meanwhile_is_not_taken_for_another_program(tmp_path):
    with pytest.raises(BlockingIOError), PrivateDirectory(tmp_path).locked():
        raise BlockingIOError


def test_the_directory_is_systemds(tmp_path, monkeypatch):
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    assert state_directory() == tmp_path
    monkeypatch.delenv(VARIABLE)
    assert state_directory() == DEFAULT
