"""Tools: declared from types, checked on the way in and out, never raising."""

import asyncio
import json
import logging
from typing import Annotated, Literal

import pytest
from pydantic import Field

from appliance.config.schema import ToolSettings
from appliance.errors import ConfigurationError, ToolError
from appliance.live.messages import ToolCall
from appliance.live.ports import ToolResult
from appliance.tools.registry import Function, Registry, tool


def add(first: int, second: Annotated[int, Field(ge=0, description="not negative")] = 1) -> int:
    """Add two numbers.

    More than the model needs to know.
    """
    return first + second


def paint(title: str, colour: Literal["red", "green"]) -> dict[str, str]:
    """Paint something."""
    return {"painted": f"{title} in {colour}"}


async def sleep(seconds: float) -> str:
    """Wait."""
    await asyncio.sleep(seconds)
    return "rested"


def refuse() -> None:
    """Say no."""
    raise ToolError("the oven is open")


def fail(words: str) -> None:
    """Break."""
    raise ValueError(f"cannot digest {words}")


def time_out() -> None:
    """Raise what a time-out raises."""
    raise TimeoutError


def odd() -> object:
    """Return what JSON does not know."""
    return object()


def infinite() -> dict[str, object]:
    """Return numbers and containers that JSON does not know."""
    return {"far": float("inf"), "pair": (1, 2)}


FUNCTIONS: tuple[Function, ...] = (add, paint, sleep, refuse, fail, time_out, odd, infinite)
ALL = ToolSettings(enabled=tuple(function.__name__ for function in FUNCTIONS), timeout_s=8.0)


async def call(name: str, **arguments: object) -> ToolResult:
    return await Registry(FUNCTIONS, ALL).call(ToolCall("id-1", name, arguments))


def test_a_declaration_follows_from_types_and_docstring():
    declaration = tool(add).declaration
    assert (declaration.name, declaration.description) == ("add", "Add two numbers.")
    assert declaration.parameters == {
        "type": "object",
        "properties": {
            "first": {"type": "integer"},
            "second": {"type": "integer", "minimum": 0, "default": 1, "description": "not negative"},
        },
        "required": ["first"],
        "additionalProperties": False,
    }


def test_a_parameter_may_be_named_title():
    properties = tool(paint).declaration.parameters["properties"]
    assert properties == {"title": {"type": "string"}, "colour": {"type": "string", "enum": ["red", "green"]}}


def test_a_function_without_docstring_or_annotation_is_our_mistake():
    def silent() -> None: ...

    def untyped(size) -> None:
        """Do it."""

    for function, lack in ((silent, "docstring"), (untyped, "annotation")):
        with pytest.raises(TypeError, match=lack):
            tool(function)


async def test_only_enabled_tools_are_declared_and_called():
    registry = Registry(FUNCTIONS, ToolSettings(enabled=("paint", "add")))
    assert [declaration.name for declaration in registry.declarations] == ["paint", "add"]
    result = await registry.call(ToolCall("id-1", "refuse", {}))
    assert result.response == {"status": "error", "retryable": False, "message": "there is no tool named refuse"}


def test_an_unknown_name_in_the_settings_is_told_with_what_was_perhaps_meant():
    with pytest.raises(ConfigurationError) as caught:
        Registry(FUNCTIONS, ToolSettings(enabled=("pain", "zzz")))
    assert caught.value.mistakes[0] == "tools.enabled: there is no tool pain; did you mean paint?"
    assert caught.value.mistakes[1].startswith("tools.enabled: there is no tool zzz; known: add, fail")


async def test_a_result_bears_the_id_and_name_of_its_call():
    assert await call("add", first=2, second=3) == ToolResult("id-1", "add", {"status": "ok", "result": 5})
    assert (await call("paint", title="a tree", colour="green")).response == {
        "status": "ok",
        "painted": "a tree in green",
    }
    assert (await call("sleep", seconds=1)).response == {"status": "ok", "result": "rested"}


async def test_wrong_arguments_are_told_to_the_model_and_may_be_tried_again():
    wrong: list[tuple[dict[str, object], str]] = [
        ({}, "first: Field required"),
        ({"first": "many"}, "first: Input should be a valid integer"),
        ({"first": 1, "second": -1}, "second: Input should be greater than or equal to 0"),
        ({"first": 1, "third": 1}, "third: Extra inputs are not permitted"),
    ]
    for arguments, complaint in wrong:
        response = (await call("add", **arguments)).response
        assert (response["status"], response["retryable"]) == ("error", True)
        assert complaint in response["message"]


async def test_a_slow_tool_ends_with_a_timeout_that_may_be_tried_again():
    assert (await call("sleep", seconds=8.1)).response == {
        "status": "timeout",
        "retryable": True,
        "message": "no answer within 8 seconds",
    }


async def test_a_tool_says_in_its_own_words_what_is_wrong():
    assert (await call("refuse")).response == {"status": "error", "retryable": False, "message": "the oven is open"}


async def test_a_tool_that_breaks_is_an_error_and_its_words_are_not_logged(caplog):
    caplog.set_level(logging.DEBUG)
    expected = {"status": "error", "retryable": False, "message": "the tool has failed"}
    assert (await call("fail", words="grandmother")).response == expected
    assert (await call("time_out")).response == expected
    assert (await call("odd")).response == expected
    assert "ValueError" in caplog.text
    assert "grandmother" not in caplog.text


async def test_results_are_json():
    response = (await call("infinite")).response
    assert response == {"status": "ok", "far": None, "pair": [1, 2]}
    assert json.loads(json.dumps(response)) == response


async def test_a_cancelled_call_ends():
    async with asyncio.TaskGroup() as group:
        task = group.create_task(Registry(FUNCTIONS, ALL).call(ToolCall("id-1", "sleep", {"seconds": 5})))
        await asyncio.sleep(1)
        task.cancel()
    assert task.cancelled()


async def test_only_what_the_server_allows_is_run():
    registry = Registry(FUNCTIONS, ToolSettings(enabled=("add", "paint")))

    async def status(name: str, **arguments: object) -> object:
        return (await registry.call(ToolCall("id-1", name, arguments))).response["status"]

    for allowed, runs in (
        (frozenset({"add", "sleep"}), ["add"]),
        (frozenset[str](), []),
        (None, ["add", "paint"]),
    ):
        registry.allow(allowed)
        tried = {
            "add": await status("add", first=1),
            "paint": await status("paint", title="a", colour="red"),
            "sleep": await status("sleep", seconds=0),
        }
        assert [name for name, said in tried.items() if said == "ok"] == runs
    assert [declaration.name for declaration in registry.declarations] == ["add", "paint"], "as the settings have it"
