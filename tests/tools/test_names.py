from datetime import UTC, datetime

from appliance.tools.builtin import builtin
from appliance.tools.names import BUILT_IN


def test_the_names_are_those_of_the_tools_that_there_are():
    made = builtin(lambda: datetime.now(UTC), lambda: None, lambda _: None, lambda: None)
    assert tuple(function.__name__ for function in made) == BUILT_IN
