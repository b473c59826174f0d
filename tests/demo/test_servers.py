"""The demo's servers, and their view of the environment."""

from pathlib import Path

import pytest

import appliance.demo
from appliance.demo.servers import API_KEY, ServerStartError, Service, _environment, _make_directory, run_room

SCENE = Path(appliance.demo.__file__).parent / "recordings" / "scene_alexa.wav"


@pytest.fixture(autouse=True)
def _operator(monkeypatch: pytest.MonkeyPatch):
    """An operator's computer: a proxy, and the settings of a provisioning server of its own."""
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("all_proxy", "socks5://127.0.0.1:9")
    monkeypatch.setenv("PROVISIOND_API_KEY", "the-operators")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", "/nowhere")
    monkeypatch.setenv("GEMINI_API_KEY", "the-operators")


def test_no_real_key_and_no_proxy_comes_between_the_demo_and_the_simulator():
    environment = _environment(Service.SIMULATOR)
    assert environment["GEMINI_API_KEY"] == API_KEY
    assert "the-operators" not in environment.values()
    assert not {"HTTPS_PROXY", "all_proxy", "CREDENTIALS_DIRECTORY"} & environment.keys()


def test_the_real_service_is_reached_through_the_proxy():
    environment = _environment(Service.GOOGLE)
    assert environment["HTTPS_PROXY"] == "http://127.0.0.1:9"
    assert environment["GEMINI_API_KEY"] == "the-operators"
    assert "PROVISIOND_API_KEY" not in environment


def test_a_folder_that_takes_nothing_is_named(tmp_path: Path):
    (tmp_path / "records").touch()
    with pytest.raises(ServerStartError, match=r"cannot write in .*: File exists"):
        _make_directory(tmp_path / "records")


@pytest.mark.realtime
async def test_a_card_that_cannot_be_built_tells_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(ServerStartError, match="no C compiler: apt-get install gcc"):
        async with run_room(tmp_path / "room", SCENE, 0.3):
            pass
