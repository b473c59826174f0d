"""Layers of settings: read from files and variables, merged in order, checked, and told in one line where wrong.

For every program of the appliance; knows no settings of its own.
"""

import difflib
import os
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource, SettingsError

from appliance.errors import ConfigurationError

DEFAULT: Final = "default"
Tree = dict[str, Any]
Key = tuple[str, ...]


class LayeredSettings(BaseSettings):
    """The base of a program's settings: takes nothing from anywhere but `resolve`."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Return the one source that holds what has been merged."""
        del settings_cls, env_settings, dotenv_settings, file_secret_settings
        return (init_settings,)


S = TypeVar("S", bound=LayeredSettings)


def resolve(
    settings: type[S], layers: Sequence[tuple[str, Tree]], missing: Mapping[str, str] | None = None
) -> tuple[S, Mapping[Key, str]]:
    """Merge named layers, later ones winning; return the settings and, for every value set, the name of its layer.

    ``missing`` says what to do where a required setting is in no layer.

    Raises:
        ConfigurationError: One line for each mistake, with layer, key, what is wrong and what was perhaps meant; never
            with the value, which may be a secret.
    """
    origins = {key: name for name, tree in layers for key in _keys(tree)}
    try:
        return settings(**_merged(layers)), origins
    except ValidationError as error:
        told = missing or {}
        raise ConfigurationError(*(_mistake(settings, one, origins, told) for one in error.errors())) from None


def read_toml(path: Path) -> Tree:
    """Read a file; raises ConfigurationError."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: is not valid TOML: {error}") from error


def read(name: str, source: PydanticBaseSettingsSource) -> Tree:
    """Read one of pydantic-settings' sources; raises ConfigurationError under its ``name``."""
    try:
        return source()
    except SettingsError as error:
        raise ConfigurationError(f"{name}: {error}; lists and whole sections are written as JSON") from error


def variables(settings: type[BaseSettings]) -> Tree:
    """Read the environment; raises ConfigurationError.

    Sections that variables name and that do not exist are kept, to be complained of: pydantic-settings passes over
    them in silence.
    """
    prefix = settings.model_config["env_prefix"].lower()
    delimiter = settings.model_config["env_nested_delimiter"] or ""
    names = [name.lower().removeprefix(prefix) for name in os.environ if name.lower().startswith(prefix)]
    sections = {name.partition(delimiter)[0] for name in names if delimiter in name}
    unknown = {section: "" for section in sections if section not in settings.model_fields}
    return unknown | read("environment", EnvSettingsSource(settings))


def _merged(layers: Sequence[tuple[str, Tree]]) -> Tree:
    merged: Tree = {}
    for _, tree in layers:
        _merge(merged, tree)
    return merged


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


def _mistake(
    settings: type[BaseSettings], detail: ErrorDetails, origins: Mapping[Key, str], missing: Mapping[str, str]
) -> str:
    """Return one line for one of pydantic's errors."""
    key, names = _resolved(settings, tuple(str(part) for part in detail["loc"] if part != "[key]"))
    if detail["type"] == "missing" and key[0] in missing:
        return f"{key[0]}: missing; {missing[key[0]]}"
    where = f"{_origin(key, origins)}: {'.'.join(key)}"
    if detail["type"] == "extra_forbidden":
        near = difflib.get_close_matches(key[-1], names, n=1)
        hint = f"did you mean {'.'.join((*key[:-1], near[0]))}?" if near else f"known here: {', '.join(sorted(names))}"
        return f"{where}: there is no such setting; {hint}"
    if detail["type"] == "union_tag_invalid":
        context = detail["ctx"]
        return f"{where}: no such kind {context['tag']!r}; it is one of {context['expected_tags']}"
    message = detail["msg"].removeprefix("Value error, ")
    if not key:  # of several settings together: the message names them
        return message
    return f"{where}: {message[0].lower()}{message[1:]}"


def _origin(key: Key, origins: Mapping[Key, str]) -> str:
    """Return what set ``key``; where nothing did, although it is required, what set its neighbours."""
    for length in range(len(key), 0, -1):
        for at, name in origins.items():
            if at[:length] == key[:length]:
                return name
    return DEFAULT


def _resolved(settings: type[BaseSettings], loc: Key) -> tuple[Key, list[str]]:
    """Return ``loc`` without the tags of unions, and the names known where it ends."""
    key: Key = ()
    models: list[type[BaseModel]] = [settings]
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
