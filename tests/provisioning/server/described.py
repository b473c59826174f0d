"""The interface as it is described, and answers held against it. Its library takes long to import."""

from functools import cache
from typing import Any
from urllib.parse import quote

import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.core import NOT_SET
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from appliance.provisioning.common.protocol import Problem, ProblemCode
from tests.clock import run_virtual
from tests.support.provisioning import World, refused, world

EXAMPLES = 25
_CHECKS = [status_code_conformance, content_type_conformance, response_schema_conformance]


@cache
def operations() -> dict[str, Any]:
    """Return what the interface describes, by its label."""
    made = world()
    document = made.app.openapi()
    made.store.close()
    schema = schemathesis.openapi.from_dict(document)
    return {found.ok().label: found.ok() for found in schema.get_all_operations()}  # type: ignore[union-attr]


def tried(here: World, label: str) -> set[int]:
    """Ask for an operation in every shape; return what has come of it, each answer being one that is described."""
    seen = set()
    operation = operations()[label]
    shapes = [operation.as_strategy(generation_mode=GenerationMode.POSITIVE)]
    if operation.body or operation.path_parameters:
        shapes.append(operation.as_strategy(generation_mode=GenerationMode.NEGATIVE))

    @settings(max_examples=EXAMPLES, database=None, suppress_health_check=list(HealthCheck))
    @given(case=st.one_of(shapes))
    def ask(case: schemathesis.Case[Any]) -> None:
        path = quote(case.formatted_path, safe="/%")
        body = None if case.body is NOT_SET else case.body
        response = run_virtual(lambda: here.ask(case.method, path, body))
        case.validate_response(response, checks=_CHECKS)
        seen.add(response.status_code)
        if response.status_code >= 400:
            refused(response, ProblemCode(Problem.model_validate_json(response.content).code))

    ask()
    return seen
