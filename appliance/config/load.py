"""The daemon's settings in force, and the origin of each value."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import BaseModel, SecretStr
from pydantic_settings import NestedSecretsSettingsSource, SecretsSettingsSource

from appliance.config.schema import Settings
from appliance.config.sources import DEFAULT, ENVIRONMENT, Key, Tree, read, read_file, resolve, variables
from appliance.errors import ConfigurationError
from appliance.permissions import chmod_advice, others_may_read

_NO_SETTINGS: Final = frozenset({"APPLIANCE_DEBUG", "APPLIANCE_PYTHON"})
"""Variables for developers: errors with their traceback, and the Python to make environments with."""


@dataclass(frozen=True, slots=True)
class Effective:
    """The settings in force, and the origin of each value that is not a default."""

    settings: Settings
    origins: Mapping[Key, str]
    exposed: tuple[str, ...] = ()
    """Warnings, one line for each file with a secret that other users may read."""

    def rows(self) -> Iterator[tuple[str, str, str]]:
        """Yield (dotted key, value with secrets masked, origin) for every setting."""
        for key, value in _leaves(self.settings):
            yield ".".join(key), _shown(value), self.origins.get(key, DEFAULT)


def load(files: Sequence[Path], overrides: Tree | None = None) -> Effective:
    """Read all sources, later ones taking precedence: files and drop-ins, credentials, environment, ``overrides``.

    Raises:
        ConfigurationError: One line per mistake, with file, key, the mistake and a suggestion.
    """
    read_files = [(path, read_file(path, Settings)) for file in files for path in _with_drop_ins(file)]
    layers = [(str(path), tree) for path, tree in read_files]
    layers += [
        ("credential", _credentials()),
        (ENVIRONMENT, variables(Settings, ignored=_NO_SETTINGS)),
        ("command line", overrides or {}),
    ]
    exposed = [path for path, tree in read_files if _holds_key(tree) and others_may_read(path)]
    warnings = tuple(
        f"others may read {path}, which contains provisioning.device_key: {chmod_advice(path)}" for path in exposed
    )
    return Effective(*resolve(Settings, layers), warnings)


def _holds_key(tree: Tree) -> bool:
    section = tree.get("provisioning")
    return isinstance(section, Mapping) and "device_key" in section


def _credentials() -> Tree:
    directory = os.environ.get("CREDENTIALS_DIRECTORY")
    if not directory:
        return {}
    # Without an empty prefix, file names would need the environment's, and the secret would be missed silently.
    return read(
        "credential",
        lambda: NestedSecretsSettingsSource(
            SecretsSettingsSource(Settings, secrets_dir=directory),
            secrets_dir=directory,
            secrets_nested_delimiter="__",
            secrets_prefix="",
        ),
    )


def _with_drop_ins(file: Path) -> Iterator[Path]:
    yield file
    directory = Path(f"{file}.d")
    try:
        names = sorted(os.listdir(directory))  # noqa: PTH208  Path.glob skips directories that it may not read
    except FileNotFoundError:
        return
    except OSError as error:
        raise ConfigurationError(f"{directory}: cannot be read: {error.strerror}") from error
    yield from (directory / name for name in names if name.endswith(".toml"))


def _leaves(model: BaseModel, above: Key = ()) -> Iterator[tuple[Key, object]]:
    for name in type(model).model_fields:
        value = getattr(model, name)
        if isinstance(value, BaseModel):
            yield from _leaves(value, (*above, name))
        else:
            yield (*above, name), value


def _shown(value: object) -> str:
    if isinstance(value, SecretStr):
        return "set, not shown"
    if value is None:
        return ""
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    return str(getattr(value, "value", value))
