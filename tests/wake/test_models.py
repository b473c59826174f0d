"""Finding the graphs, and refusing those that are not what they should be."""

import hashlib
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from appliance.errors import WakeModelError
from appliance.wake import models


@pytest.fixture
def carrier(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A package openwakeword of some version, before the installed one on the path; returns its models folder."""

    def install(version: str | None) -> Path:
        folder = tmp_path / "site" / "openwakeword" / "resources" / "models"
        folder.mkdir(parents=True)
        (folder.parents[1] / "__init__.py").write_text("raise AssertionError('imported')")
        if version is not None:
            info = tmp_path / "site" / f"openwakeword-{version}.dist-info"
            info.mkdir()
            (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: openwakeword\nVersion: {version}\n")
        monkeypatch.setattr(sys, "path", [str(tmp_path / "site")])
        return folder

    return install


def own_model(folder: Path, name: str, content: bytes = b"a graph") -> Path:
    """A classifier of the installer's own with its digest, as sha256sum writes it."""
    path = folder / f"{name}.onnx"
    path.write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    path.with_name(f"{name}.onnx.sha256").write_text(f"{digest}  {name}.onnx\n")
    return path


needs_the_package = pytest.mark.skipif(find_spec("openwakeword") is None, reason="openwakeword is not installed")


@needs_the_package
@pytest.mark.parametrize("word", ["alexa", "hey_jarvis", "hey_mycroft", "hey_rhasspy"])
def test_the_words_of_the_package_are_found_and_verified_without_importing_it(word):
    graphs = models.load(word)
    assert graphs.model == word
    assert len({graphs.melspectrogram, graphs.embedding, graphs.classifier}) == 3
    assert "openwakeword" not in sys.modules


def test_an_unknown_word_is_answered_with_what_was_meant_and_what_there_is(tmp_path):
    own_model(tmp_path, "hey_marvin")
    with pytest.raises(WakeModelError) as raised:
        models.load("hey_jarvs", tmp_path)
    assert str(raised.value) == (
        'there is no wake word "hey_jarvs": did you mean hey_jarvis? '
        "known are alexa, hey_jarvis, hey_mycroft, hey_rhasspy, hey_marvin"
    )


def test_a_word_like_no_other_is_answered_without_a_guess():
    with pytest.raises(WakeModelError, match=r'^there is no wake word "computer": known are alexa, '):
        models.load("computer")


def test_a_missing_package_is_named_with_the_remedy(monkeypatch):
    monkeypatch.setattr(sys, "path", [])
    with pytest.raises(WakeModelError, match=r"not installed: pip install --no-deps openwakeword==0\.5\.1$"):
        models.load("alexa")


@pytest.mark.parametrize(
    ("version", "named"), [("0.4.0", r"0\.4\.0"), ("0.6.0", r"0\.6\.0"), (None, "of unknown version")]
)
def test_a_package_that_carries_other_graphs_is_refused_by_its_version(carrier, version, named):
    carrier(version)
    with pytest.raises(WakeModelError, match=f"^openwakeword {named} is installed, .*: pip install"):
        models.load("alexa")


def test_an_altered_graph_is_refused(carrier):
    folder = carrier("0.5.1")
    (folder / "melspectrogram.onnx").write_bytes(b"altered")
    with pytest.raises(WakeModelError, match=r"melspectrogram\.onnx is altered: its sha256 is \w{8}…, not ba2b0e0f…$"):
        models.load("alexa")


def test_a_graph_that_is_not_there_is_refused(carrier):
    carrier("0.5.1")
    with pytest.raises(WakeModelError, match=r"^cannot read .*melspectrogram\.onnx: No such file or directory$"):
        models.load("alexa")


@needs_the_package
def test_a_graph_of_the_installers_own_is_found_by_name_and_by_path(tmp_path):
    path = own_model(tmp_path, "hey_marvin")
    by_name = models.load("hey_marvin", tmp_path)
    by_path = models.load(str(path))
    assert by_name == by_path
    assert (by_name.model, by_name.classifier) == ("hey_marvin", b"a graph")


@needs_the_package
def test_a_graph_of_the_installers_own_needs_its_digest(tmp_path):
    path = own_model(tmp_path, "hey_marvin")
    path.write_bytes(b"another graph")
    with pytest.raises(WakeModelError, match=r"hey_marvin\.onnx is altered"):
        models.load("hey_marvin", tmp_path)
    path.with_name("hey_marvin.onnx.sha256").unlink()
    with pytest.raises(WakeModelError, match=r"hey_marvin\.onnx has no digest beside it: sha256sum "):
        models.load("hey_marvin", tmp_path)


def test_a_file_in_the_own_folder_comes_before_the_package_and_is_held_to_the_same_digest(tmp_path):
    own_model(tmp_path, "melspectrogram")
    with pytest.raises(WakeModelError, match=r"melspectrogram\.onnx is altered"):
        models.load("alexa", tmp_path)
