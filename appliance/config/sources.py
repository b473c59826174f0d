"""Layers of settings: read from files and variables, merged in order and validated; every mistake is one line.

For every program of the appliance; it knows no particular settings.
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
"""Name of the layer of `variables`."""
Tree = dict[str, Any]
Key = tuple[str, ...]


class LayeredSettings(BaseSettings):
    """Base of a program's settings, which come from `resolve` only."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Return the single source that holds the merged layers."""
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
    """Merge named layers, later ones taking precedence; return the settings, and the layer of every value set.

    ``missing`` gives the advice for required settings that are in no layer.

    Raises:
        ConfigurationError: One line per mistake, with layer, key, the mistake and a suggestion; never with the value,
            which may be a secret.
    """
    try:
        origins = {key: name for name, tree in layers for key in _keys(tree)}
        merged = _merged(layers)
    except RecursionError:
        raise _too_deep() from None
    try:
        return settings(**merged), origins
    except ValidationError as error:
        raise ConfigurationError(*(_line(settings, one, origins, missing or {}) for one in error.errors())) from None


def _too_deep() -> ConfigurationError:
    return ConfigurationError("sections are nested too deeply: no setting is there")


def read_file(path: Path, settings: type[BaseSettings]) -> Tree:
    """Read a settings file; relative paths in it count from the file. Raises ConfigurationError."""
    try:
        return _with_absolute_paths(_read_toml(path), [settings], path.absolute().parent)
    except RecursionError:
        raise _too_deep() from None


def _with_absolute_paths(tree: Tree, models: Sequence[type[BaseModel]], directory: Path) -> Tree:
    """Return a section with absolute paths; ``models`` are its possible variants."""
    found: Tree = {}
    for name, value in tree.items():
        kinds = [model.model_fields[name].annotation for model in models if name in model.model_fields]
        if isinstance(value, dict):
            below = [model for kind in kinds for model in _models_in(kind)]
            found[name] = _with_absolute_paths(value, below, directory)
        elif isinstance(value, str) and value and any(Path in (kind, *get_args(kind)) for kind in kinds):
            found[name] = str(directory / value)
        else:
            found[name] = value
    return found


def _read_toml(path: Path) -> Tree:
    """Read a file, with or without a byte order mark; raises ConfigurationError."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError:
        raise ConfigurationError(f"{path}: is not UTF-8 text: save it as UTF-8") from None
    except (ValueError, RecursionError) as error:  # invalid TOML, or thousands of digits or brackets
        raise ConfigurationError(f"{path}: is not valid TOML: {error}") from error


def read(name: str, make: Callable[[], PydanticBaseSettingsSource]) -> Tree:
    """Make and read one of pydantic-settings' sources; raises ConfigurationError with its ``name``."""
    try:
        return make()()
    except OSError as error:
        raise ConfigurationError(f"{name}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError:
        raise ConfigurationError(f"{name}: is not UTF-8 text") from None
    except (SettingsError, RecursionError) as error:
        raise ConfigurationError(f"{name}: {error}; write lists and whole sections as JSON") from error


def variables(settings: type[BaseSettings], ignored: Collection[str] = ()) -> Tree:
    """Read the environment; raises ConfigurationError.

    Variables that name no setting are kept, to be reported as mistakes; pydantic-settings would skip them silently.
    Those in ``ignored`` are left out.
    """
    prefix = settings.model_config["env_prefix"].lower()
    found = [name.lower() for name in os.environ if name.lower().startswith(prefix) and name not in ignored]
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


def _line(
    settings: type[BaseSettings], detail: ErrorDetails, origins: Mapping[Key, str], missing: Mapping[str, str]
) -> str:
    """Return one of pydantic's errors as one line."""
    key, known = _resolved(settings, tuple(str(part) for part in detail["loc"] if part != "[key]"))
    if detail["type"] == "missing" and key[0] in missing:
        return f"{key[0]}: missing; {missing[key[0]]}"
    origin = _origin(key, origins)
    if detail["type"] == "extra_forbidden":
        near = _nearest(key, known)
        hint = f"did you mean {_spelled(settings, near, origin)}?" if near else f"known here: {_names(known)}"
        return f"{origin}: {_spelled(settings, key, origin)}: there is no such setting; {hint}"
    where = f"{origin}: {'.'.join(key)}"
    if detail["type"] == "union_tag_invalid":
        context = detail["ctx"]
        return f"{where}: no such kind {context['tag']!r}; it is one of {context['expected_tags']}"
    message = detail["msg"].removeprefix("Value error, ")
    if not key:  # of several settings together: the message names them
        return message
    return f"{where}: {message[0].lower()}{message[1:]}"


def _nearest(key: Key, known: Sequence[Key]) -> Key | None:
    """Return the most similar of the keys ``known`` where ``key`` ends; underscores may stand for dots."""
    flat = {"_".join(one): one for one in known}
    near = difflib.get_close_matches(key[-1], flat, n=1)
    return (*key[:-1], *flat[near[0]]) if near else None


def _spelled(settings: type[BaseSettings], key: Key, origin: str) -> str:
    """Return a key as written in the layer ``origin``."""
    if origin != ENVIRONMENT:
        return ".".join(key)
    return f"{settings.model_config['env_prefix']}{_delimiter(settings).join(key)}".upper()


def _names(known: Sequence[Key]) -> str:
    return ", ".join(sorted({one[0] for one in known}))


def _delimiter(settings: type[BaseSettings]) -> str:
    return settings.model_config["env_nested_delimiter"] or "__"


def _origin(key: Key, origins: Mapping[Key, str]) -> str:
    """Return the layer of ``key``; for a required key that is missing, that of its neighbours."""
    for length in range(len(key), 0, -1):
        for at, name in origins.items():
            if at[:length] == key[:length]:
                return name
    return DEFAULT


def _resolved(settings: type[BaseSettings], loc: Key) -> tuple[Key, list[Key]]:
    """Return ``loc`` without the tags of variants, and the keys known where it ends."""
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
