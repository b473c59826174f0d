"""Layers of settings: read from files and variables, merged in order, checked, and told in one line where wrong.

For every program of the appliance; knows no settings of its own.
"""

import difflib
import os
import tomllib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Discriminator, ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource, SettingsError

from appliance.errors import ConfigurationError

DEFAULT: Final = "default"
ENVIRONMENT: Final = "environment"
"""What the layer of `variables` is called."""
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


class Section(BaseModel):
    """One table of a settings file."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


def variant(key: str, default: str) -> Discriminator:
    """Select one of a section's variants by the tag in its field ``key``; ``default`` where the field is not given."""

    def tag(value: Any) -> str:  # noqa: ANN401  pydantic passes what it was given
        found = value.get(key, default) if isinstance(value, dict) else getattr(value, key, default)
        return str(found)

    return Discriminator(tag)


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
    try:
        origins = {key: name for name, tree in layers for key in _keys(tree)}
        merged = _merged(layers)
    except RecursionError:
        raise _too_deep() from None
    try:
        return settings(**merged), origins
    except ValidationError as error:
        told = missing or {}
        raise ConfigurationError(*(_mistake(settings, one, origins, told) for one in error.errors())) from None


def _too_deep() -> ConfigurationError:
    return ConfigurationError("sections are nested too deeply: there are no such settings")


def read_file(path: Path, settings: type[BaseSettings]) -> Tree:
    """Read a settings file, in which relative paths count from the file; raises ConfigurationError."""
    try:
        return _rooted(_read_toml(path), [settings], path.absolute().parent)
    except RecursionError:
        raise _too_deep() from None


def _rooted(tree: Tree, models: Sequence[type[BaseModel]], directory: Path) -> Tree:
    """Return a section with all paths in it absolute; ``models`` are what it may be."""
    rooted: Tree = {}
    for name, value in tree.items():
        kinds = [model.model_fields[name].annotation for model in models if name in model.model_fields]
        if isinstance(value, dict):
            below = [model for kind in kinds for model in _models_in(kind)]
            rooted[name] = _rooted(value, below, directory)
        elif isinstance(value, str) and value and any(Path in (kind, *get_args(kind)) for kind in kinds):
            rooted[name] = str(directory / value)
        else:
            rooted[name] = value
    return rooted


def _read_toml(path: Path) -> Tree:
    """Read a file, with or without the byte order mark that some editors write; raises ConfigurationError."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError:
        raise ConfigurationError(f"{path}: is not text in UTF-8: save it as UTF-8") from None
    except (ValueError, RecursionError) as error:  # no TOML, a number of thousands of digits, or of brackets
        raise ConfigurationError(f"{path}: is not valid TOML: {error}") from error


def read(name: str, make: Callable[[], PydanticBaseSettingsSource]) -> Tree:
    """Make and read one of pydantic-settings' sources; raises ConfigurationError under its ``name``."""
    try:
        return make()()
    except OSError as error:
        raise ConfigurationError(f"{name}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError:
        raise ConfigurationError(f"{name}: is not text in UTF-8") from None
    except (SettingsError, RecursionError) as error:
        raise ConfigurationError(f"{name}: {error}; lists and whole sections are written as JSON") from error


def variables(settings: type[BaseSettings], besides: Collection[str] = ()) -> Tree:
    """Read the environment; raises ConfigurationError.

    Variables that name no setting are kept, to be complained of, but for those named ``besides``: pydantic-settings
    passes over them in silence.
    """
    prefix = settings.model_config["env_prefix"].lower()
    found = [name.lower() for name in os.environ if name.lower().startswith(prefix) and name not in besides]
    names = [name.removeprefix(prefix) for name in found]
    unknown = {name: "" for name in names if name.partition(_delimiter(settings))[0] not in settings.model_fields}
    return unknown | read(ENVIRONMENT, lambda: EnvSettingsSource(settings))


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
    key, known = _resolved(settings, tuple(str(part) for part in detail["loc"] if part != "[key]"))
    if detail["type"] == "missing" and key[0] in missing:
        return f"{key[0]}: missing; {missing[key[0]]}"
    origin = _origin(key, origins)
    if detail["type"] == "extra_forbidden":
        meant = _meant(key, known)
        hint = f"did you mean {_spelled(settings, meant, origin)}?" if meant else f"known here: {_names(known)}"
        return f"{origin}: {_spelled(settings, key, origin)}: there is no such setting; {hint}"
    where = f"{origin}: {'.'.join(key)}"
    if detail["type"] == "union_tag_invalid":
        context = detail["ctx"]
        return f"{where}: no such kind {context['tag']!r}; it is one of {context['expected_tags']}"
    message = detail["msg"].removeprefix("Value error, ")
    if not key:  # of several settings together: the message names them
        return message
    return f"{where}: {message[0].lower()}{message[1:]}"


def _meant(key: Key, known: Sequence[Key]) -> Key | None:
    """Return what was perhaps meant, of what is ``known`` where ``key`` ends; underscores may stand for dots."""
    flat = {"_".join(one): one for one in known}
    near = difflib.get_close_matches(key[-1], flat, n=1)
    return (*key[:-1], *flat[near[0]]) if near else None


def _spelled(settings: type[BaseSettings], key: Key, origin: str) -> str:
    """Return a key as it is written in the layer ``origin``."""
    if origin != ENVIRONMENT:
        return ".".join(key)
    return f"{settings.model_config['env_prefix']}{_delimiter(settings).join(key)}".upper()


def _names(known: Sequence[Key]) -> str:
    return ", ".join(sorted({one[0] for one in known}))


def _delimiter(settings: type[BaseSettings]) -> str:
    return settings.model_config["env_nested_delimiter"] or "__"


def _origin(key: Key, origins: Mapping[Key, str]) -> str:
    """Return what set ``key``; where nothing did, although it is required, what set its neighbours."""
    for length in range(len(key), 0, -1):
        for at, name in origins.items():
            if at[:length] == key[:length]:
                return name
    return DEFAULT


def _resolved(settings: type[BaseSettings], loc: Key) -> tuple[Key, list[Key]]:
    """Return ``loc`` without the tags of unions, and the keys known where it ends."""
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
    return key, [one for model in models for one in _known_in(model)]


def _known_in(model: type[BaseModel]) -> Iterator[Key]:
    """Yield the key of every setting and section in a section."""
    for name, field in model.model_fields.items():
        yield (name,)
        for below in _models_in(field.annotation):
            yield from ((name, *key) for key in _known_in(below))


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:  # noqa: ANN401  any annotation
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in getattr(annotation, "__args__", ()):
        yield from _models_in(argument)


def _tags(model: type[BaseModel]) -> Iterator[str]:
    for name in ("kind", "layout"):
        field = model.model_fields.get(name)
        yield from getattr(field.annotation, "__args__", ()) if field else ()
