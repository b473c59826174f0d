"""The registry of tools: typed Python functions on an allow-list, with arguments and results checked."""

import asyncio
import difflib
import inspect
import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, get_type_hints

from pydantic import BaseModel, ConfigDict, ValidationError, create_model
from pydantic_core import to_jsonable_python

from appliance import log
from appliance.config.schema import ToolSettings
from appliance.errors import ConfigurationError, ToolError
from appliance.live.messages import ToolCall
from appliance.live.ports import Scheduling, ToolBehavior, ToolDeclaration, ToolResult

Function = Callable[..., object]
"""Keyword arguments in, a JSON value or an awaitable of one out; every parameter is annotated.

Its name is the tool's name; the first line of its docstring is the tool's description. A plain function runs on the
loop and must return at once; anything slow is a coroutine function, and the conversation may go on meanwhile. Raise
`ToolError` to report an error to the model.
"""


@dataclass(frozen=True, slots=True)
class Tool:
    """A function and its declaration to the model."""

    function: Function
    arguments: type[BaseModel]
    declaration: ToolDeclaration


def tool(function: Function) -> Tool:
    """Derive the declaration from the function's signature and docstring.

    Raises:
        TypeError: It has no docstring, or a parameter without annotation: a bug.
    """
    name = str(getattr(function, "__name__", function))
    description = (inspect.getdoc(function) or "").split("\n", maxsplit=1)[0]
    hints = get_type_hints(function, include_extras=True)
    fields: dict[str, Any] = {}
    for parameter in inspect.signature(function).parameters.values():
        if parameter.name not in hints:
            raise TypeError(f"tool {name}: parameter {parameter.name} has no annotation")
        default = ... if parameter.default is inspect.Parameter.empty else parameter.default
        fields[parameter.name] = (hints[parameter.name], default)
    if not description:
        raise TypeError(f"tool {name} has no docstring")
    arguments = create_model(name, __config__=ConfigDict(extra="forbid"), **fields)
    behavior = ToolBehavior.NON_BLOCKING if inspect.iscoroutinefunction(function) else ToolBehavior.BLOCKING
    schema = _untitled(arguments.model_json_schema())
    return Tool(function, arguments, ToolDeclaration(name, description, schema, behavior))


class Registry:
    """The tools enabled in the settings."""

    def __init__(self, functions: Iterable[Function], settings: ToolSettings) -> None:
        """Keep those of ``functions`` whose names are enabled.

        Raises:
            ConfigurationError: An unknown name is enabled.
        """
        known = {found.declaration.name: found for found in map(tool, functions)}
        mistakes = [_unknown(name, known) for name in settings.enabled if name not in known]
        if mistakes:
            raise ConfigurationError(*mistakes)
        self._tools = {name: known[name] for name in settings.enabled}
        self._timeout_s = settings.timeout_s
        self._allowed: frozenset[str] | None = None

    def allow(self, names: frozenset[str] | None) -> None:
        """Restrict tools to ``names`` from now on; None allows all that are enabled."""
        self._allowed = names

    @property
    def declarations(self) -> tuple[ToolDeclaration, ...]:
        """The declarations to the model."""
        return tuple(allowed.declaration for allowed in self._tools.values())

    async def call(self, call: ToolCall) -> ToolResult:
        """Run a tool; every failure becomes a result. Raises nothing but cancellation.

        The response always has ``status``: "ok" with the return value (the items of a mapping, else ``result``), or
        "timeout" or "error" with ``retryable`` and ``message``. With less than that, the model calls again and again.
        """
        allowed = self._tools.get(call.name)
        if allowed is None or (self._allowed is not None and call.name not in self._allowed):
            return answer(call, status="error", retryable=False, message=f"there is no tool named {call.name}")
        try:
            arguments = allowed.arguments.model_validate(call.arguments)
        except ValidationError as error:
            return answer(call, status="error", retryable=True, message=_in_words(error))
        result = await self._run(allowed.function, arguments, call)
        waits = allowed.declaration.behavior is ToolBehavior.BLOCKING
        return result if waits else replace(result, scheduling=Scheduling.WHEN_IDLE)

    async def _run(self, function: Function, arguments: BaseModel, call: ToolCall) -> ToolResult:
        limit = asyncio.timeout(self._timeout_s)
        try:
            async with limit:
                returned = function(**{name: getattr(arguments, name) for name in type(arguments).model_fields})
                if inspect.isawaitable(returned):
                    returned = await returned
            returned = to_jsonable_python(returned, inf_nan_mode="null")
        except ToolError as error:
            return answer(call, status="error", retryable=False, message=str(error))
        except Exception as error:  # noqa: BLE001  a tool must not end the daemon
            if limit.expired():
                log.event("tool.timeout", level="warning", tool=call.name, limit_s=self._timeout_s)
                message = f"no answer within {self._timeout_s:g} seconds"
                return answer(call, status="timeout", retryable=True, message=message)
            _log_failure(call, error)
            return answer(call, status="error", retryable=False, message="the tool has failed")
        response = returned if isinstance(returned, dict) else {"result": returned}
        return answer(call, **{"status": "ok", **response})


def answer(call: ToolCall, **response: object) -> ToolResult:
    """Return a result of the call with these JSON values."""
    return ToolResult(call.id, call.name, response)


def _log_failure(call: ToolCall, error: Exception) -> None:
    """Log what failed and where, without the exception's text, which may contain spoken words."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{frame.filename}:{frame.lineno}"
    log.event("tool.failed", level="error", tool=call.name, error=type(error).__name__, where=where)


def _in_words(error: ValidationError) -> str:
    details = error.errors(include_url=False, include_input=False)
    return "; ".join(f"{'.'.join(map(str, detail['loc']))}: {detail['msg']}" for detail in details)


def _unknown(name: str, known: Mapping[str, Tool]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(sorted(known))}"
    return f"tools.enabled: there is no tool {name}; {hint}"


def _untitled(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a JSON schema without the titles that pydantic derives from names; a property named title is kept."""
    return {
        name: _untitled(part) if isinstance(part, dict) else part
        for name, part in schema.items()
        if name != "title" or isinstance(part, dict)
    }
