"""Finding the graphs, and refusing those that are not what they should be."""

import hashlib
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from appliance.errors import LocalModelError
from appliance.onnx.graphs import Graph
from appliance.wake import models
from tests.support import onnx_files


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
    assert len({graph.content for graph in (graphs.melspectrogram, graphs.embedding, graphs.classifier)}) == 3
    assert "openwakeword" not in sys.modules


def test_an_unknown_word_is_answered_with_what_was_meant_and_what_there_is(tmp_path):
    own_model(tmp_path, "hey_marvin")
    with pytest.raises(LocalModelError) as raised:
        models.load("hey_jarvs", tmp_path)
    assert str(raised.value) == (
        'unknown wake word "hey_jarvs": did you mean hey_jarvis? '
        "choose one of alexa, hey_jarvis, hey_mycroft, hey_rhasspy, hey_marvin"
    )


def test_a_word_like_no_other_is_answered_without_a_guess():
    with pytest.raises(LocalModelError, match=r'^unknown wake word "computer": choose one of alexa, '):
        models.load("computer")


def test_a_missing_package_is_named_with_the_remedy(monkeypatch):
    monkeypatch.setattr(sys, "path", [])
    with pytest.raises(LocalModelError, match=r"not installed: pip install --no-deps openwakeword==0\.5\.1$"):
        models.load("alexa")


@pytest.mark.parametrize(
    ("version", "named"), [("0.4.0", r"0\.4\.0"), ("0.6.0", r"0\.6\.0"), (None, "of unknown version")]
)
def test_a_package_that_carries_other_graphs_is_refused_by_its_version(carrier, version, named):
    carrier(version)
    with pytest.raises(LocalModelError, match=f"^openwakeword {named} is installed, .*: pip install"):
        models.load("alexa")


def test_an_altered_graph_is_refused(carrier):
    folder = carrier("0.5.1")
    (folder / "melspectrogram.onnx").write_bytes(b"altered")
    with pytest.raises(LocalModelError, match=r"melspectrogram\.onnx is altered: its sha256 is \w{8}…, not ba2b0e0f…$"):
        models.load("alexa")


def test_a_graph_that_is_not_there_is_refused(carrier):
    carrier("0.5.1")
    with pytest.raises(LocalModelError, match=r"^cannot read .*melspectrogram\.onnx: No such file or directory$"):
        models.load("alexa")


@needs_the_package
def test_a_graph_of_the_installers_own_is_found_by_name_and_by_path(tmp_path):
    path = own_model(tmp_path, "hey_marvin")
    by_name = models.load("hey_marvin", tmp_path)
    by_path = models.load(str(path))
    assert by_name == by_path
    assert (by_name.model, by_name.classifier) == ("hey_marvin", Graph(b"a graph"))
    assert models.load("hey_marvin.onnx", tmp_path) == by_name


@needs_the_package
def test_a_graph_of_the_installers_own_needs_its_digest(tmp_path):
    path = own_model(tmp_path, "hey_marvin")
    path.write_bytes(b"another graph")
    with pytest.raises(LocalModelError, match=r"hey_marvin\.onnx is altered"):
        models.load("hey_marvin", tmp_path)
    path.with_name("hey_marvin.onnx.sha256").unlink()
    with pytest.raises(LocalModelError, match=r"hey_marvin\.onnx has no digest beside it: run sha256sum "):
        models.load("hey_marvin", tmp_path)


def test_a_file_in_the_own_folder_comes_before_the_package_and_is_held_to_the_same_digest(tmp_path):
    own_model(tmp_path, "melspectrogram")
    with pytest.raises(LocalModelError, match=r"melspectrogram\.onnx is altered"):
        models.load("alexa", tmp_path)


@needs_the_package
@pytest.mark.parametrize(
    "written",
    [
        "{digest}  hey_marvin.onnx\n",
        "{digest} *hey_marvin.onnx\n",
        "{digest}  /home/me/models/hey_marvin.onnx\n",
        "SHA256 (hey_marvin.onnx) = {digest}\n",
        "SHA256 (./hey_marvin.onnx) = {digest}\n",
        "{other}  hey_marvin.onnx.data\n{digest}  hey_marvin.onnx\n{other}  not_hey_marvin.onnx\n",
        "{digest}  before_it_was_renamed.onnx\n",
        "{digest}",
        "\ufeffAlgorithm : SHA256\r\nHash      : {upper}\r\nPath      : C:\\models\\hey_marvin.onnx\r\n",
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_a_digest_is_read_however_it_was_written(tmp_path, written, encoding):
    path = own_model(tmp_path, "hey_marvin")
    digest = onnx_files.digest(path)
    text = written.format(digest=digest, upper=digest.upper(), other="0" * 64)
    path.with_name("hey_marvin.onnx.sha256").write_bytes(text.encode(encoding))
    assert models.load("hey_marvin", tmp_path).classifier.content == b"a graph"


@needs_the_package
@pytest.mark.parametrize(
    "text", ["", "hello", f"{'0' * 64}  a.onnx\n{'1' * 64}  b.onnx\n", f"{'0' * 128}  hey_marvin.onnx"]
)
def test_a_file_without_the_digest_is_refused(tmp_path, text):
    path = own_model(tmp_path, "hey_marvin")
    path.with_name("hey_marvin.onnx.sha256").write_text(text)
    with pytest.raises(LocalModelError, match=r"sha256 holds no sha256 of hey_marvin\.onnx: run sha256sum "):
        models.load("hey_marvin", tmp_path)


def digests(*paths: Path) -> str:
    return "".join(f"{onnx_files.digest(path)}  {path.name}\n" for path in paths)


@needs_the_package
def test_weights_beside_a_graph_come_with_it_and_are_verified_as_well(tmp_path):
    path = onnx_files.save(tmp_path, "hey_marvin", "as_exported.onnx.data")
    weights, own = tmp_path / "as_exported.onnx.data", tmp_path / "hey_marvin.onnx.sha256"
    own.write_text(digests(path))
    with pytest.raises(LocalModelError, match=r"holds no sha256 of as_exported|as_exported\.onnx\.data has no digest"):
        models.load("hey_marvin", tmp_path)
    own.write_text(digests(path, weights))
    assert models.load("hey_marvin", tmp_path).classifier.weights == {weights.name: weights.read_bytes()}
    own.write_text(digests(path))
    (tmp_path / "as_exported.onnx.data.sha256").write_text(digests(weights))
    assert models.load(str(path)).classifier.weights == {weights.name: weights.read_bytes()}
    weights.write_bytes(weights.read_bytes()[::-1] + b"\1")
    with pytest.raises(LocalModelError, match=r"as_exported\.onnx\.data is altered"):
        models.load("hey_marvin", tmp_path)
    weights.unlink()
    with pytest.raises(LocalModelError, match=r"keeps its weights in as_exported\.onnx\.data: put that file beside it"):
        models.load("hey_marvin", tmp_path)


@needs_the_package
@pytest.mark.parametrize("elsewhere", ["../weights.data", "/etc/hostname", ".."])
def test_no_graph_fetches_its_weights_from_another_folder(tmp_path, elsewhere):
    (tmp_path / "weights.data").touch()
    folder = tmp_path / "models"
    folder.mkdir()
    path = onnx_files.save(folder, "hey_marvin", "local.data")
    path.write_bytes(path.read_bytes().replace(b"\x0alocal.data", bytes([len(elsewhere)]) + elsewhere.encode()))
    (folder / "hey_marvin.onnx.sha256").write_text(digests(path))
    with pytest.raises(LocalModelError, match="keeps its weights in"):
        models.load("hey_marvin", folder)


@needs_the_package
@pytest.mark.parametrize(
    ("file", "content", "says"),
    [
        ("hey_marvin.tflite", b"\x1c\0\0\0TFL3", "a TensorFlow Lite graph: use the ONNX file"),
        ("hey_marvin.onnx", b"\x1c\0\0\0TFL3", "a TensorFlow Lite graph: use the ONNX file"),
        ("hey_marvin.onnx", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "run git lfs pull"),
    ],
)
def test_a_file_that_is_no_onnx_graph_is_refused_with_what_to_do(tmp_path, file, content, says):
    (tmp_path / file).write_bytes(content)
    for model in ("hey_marvin", file, str(tmp_path / file)):
        with pytest.raises(LocalModelError, match=says):
            models.load(model, tmp_path)
