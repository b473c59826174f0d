"""Layers the sources of the settings, says where each value came from, and what to say when one is wrong."""

import difflib
import os
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, SecretStr, ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    NestedSecretsSettingsSource,
    PydanticBaseSettingsSource,
    SecretsSettingsSource,
    SettingsError,
)

from appliance.errors import ConfigurationError
from appliance.settings import Settings

DEFAULT: Final = "default"
Tree = dict[str, Any]
Key = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Effective:
    """The settings in force, and for each value that is not a default, where it came from."""

    settings: Settings
    origins: Mapping[Key, str]

    def rows(self) -> Iterator[tuple[str, str, str]]:
        """Yield (dotted key, value with secrets masked, origin) for every setting."""
        for key, value in _leaves(self.settings):
            yield ".".join(key), _shown(value), self.origins.get(key, DEFAULT)


def load(files: Sequence[Path], overrides: Tree | None = None) -> Effective:
    """Read all sources, later ones winning: files and their drop-ins, credentials, environment, ``overrides``.

    Raises:
        ConfigurationError: One line for each mistake, with file, key, what is wrong and what was perhaps meant.
    """
    layers = [(str(path), _read_toml(path)) for file in files for path in _with_drop_ins(file)]
    layers += [
        ("credential", _read("credential", _credentials())),
        ("environment", _unknown_variables() | _read("environment", EnvSettingsSource(Settings))),
        ("command line", overrides or {}),
    ]
    origins = {key: name for name, tree in layers for key in _keys(tree)}
    try:
        return Effective(_settings(layers), origins)
    except ValidationError as error:
        raise ConfigurationError(*(_mistake(detail, origins) for detail in error.errors())) from error


def _settings(layers: Sequence[tuple[str, Tree]]) -> Settings:
    merged: Tree = {}
    for _, tree in layers:
        _merge(merged, tree)

    class Layered(Settings):
        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,
            file_secret_settings: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            del settings_cls, env_settings, dotenv_settings, file_secret_settings
            return (init_settings,)

    return Layered(**merged)


def _read(name: str, source: PydanticBaseSettingsSource | None) -> Tree:
    try:
        return source() if source is not None else {}
    except SettingsError as error:
        raise ConfigurationError(f"{name}: {error}; lists and whole sections are written as JSON") from error


def _unknown_variables() -> Tree:
    """Return the sections that variables name and that do not exist: pydantic-settings passes over them in silence."""
    prefix, delimiter = Settings.model_config["env_prefix"].lower(), Settings.model_config["env_nested_delimiter"] or ""
    names = [name.lower().removeprefix(prefix) for name in os.environ if name.lower().startswith(prefix)]
    sections = {name.partition(delimiter)[0] for name in names if delimiter in name}
    return {section: "" for section in sections if section not in Settings.model_fields}


def _credentials() -> NestedSecretsSettingsSource | None:
    directory = os.environ.get("CREDENTIALS_DIRECTORY")
    if not directory:
        return None
    # Without an empty prefix the environment's would be expected on the file names, and the secret silently missed.
    return NestedSecretsSettingsSource(
        SecretsSettingsSource(Settings, secrets_dir=directory),
        secrets_dir=directory,
        secrets_nested_delimiter="__",
        secrets_prefix="",
    )


def _with_drop_ins(file: Path) -> list[Path]:
    return [file, *sorted(Path(f"{file}.d").glob("*.toml"))]


def _read_toml(path: Path) -> Tree:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: is not valid TOML: {error}") from error


def _merge(into: Tree, tree: Tree) -> None:
    for name, value in tree.items():
        if isinstance(value, dict) and isinstance(into.get(name), dict):
            _merge(into[name], value)
        else:
            into[name] = dict(value) if isinstance(value, dict) else value


def _keys(tree: Tree, above: Key = ()) -> Iterator[Key]:
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from _keys(value, (*above, name))
        else:
            yield (*above, name)


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


def _mistake(detail: ErrorDetails, origins: Mapping[Key, str]) -> str:
    """Return one line for one of pydantic's errors."""
    key, names = _resolved(tuple(str(part) for part in detail["loc"]))
    where = f"{_origin(key, origins)}: {'.'.join(key)}"
    if detail["type"] == "extra_forbidden":
        near = difflib.get_close_matches(key[-1], names, n=1)
        hint = f"did you mean {'.'.join((*key[:-1], near[0]))}?" if near else f"known here: {', '.join(sorted(names))}"
        return f"{where}: there is no such setting; {hint}"
    if detail["type"] == "union_tag_invalid":
        context = detail["ctx"]
        return f"{where}: no such kind {context['tag']!r}; it is one of {context['expected_tags']}"
    message = detail["msg"].removeprefix("Value error, ")
    return f"{where}: {message[0].lower()}{message[1:]}"


def _origin(key: Key, origins: Mapping[Key, str]) -> str:
    """Return what set ``key``; where nothing did, although it is required, what set its neighbours."""
    for length in range(len(key), 0, -1):
        for at, name in origins.items():
            if at[:length] == key[:length]:
                return name
    return DEFAULT


def _resolved(loc: Key) -> tuple[Key, list[str]]:
    """Return ``loc`` without the tags of unions, and the names known where it ends."""
    key: Key = ()
    models: list[type[BaseModel]] = [Settings]
    for part in loc:
        known = {name: field.annotation for model in models for name, field in model.model_fields.items()}
        if not known or part in known or part == loc[-1]:
            key = (*key, part)
            if part in known:
                models = list(_models_in(known[part]))
        else:
            models = [model for model in models if part in _tags(model)] or models
    return key, sorted({name for model in models for name in model.model_fields})


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:  # noqa: ANN401  any annotation
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in getattr(annotation, "__args__", ()):
        yield from _models_in(argument)


def _tags(model: type[BaseModel]) -> Iterator[str]:
    for name in ("kind", "layout"):
        field = model.model_fields.get(name)
        yield from getattr(field.annotation, "__args__", ()) if field else ()
