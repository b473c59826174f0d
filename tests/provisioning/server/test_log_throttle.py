import logging

from appliance.provisioning.server.log_throttle import LINES, PERIOD_S, LogThrottle


def written(throttle: LogThrottle, text: str, *arguments: object, name: str = "server") -> str | None:
    record = logging.LogRecord(name, logging.INFO, __file__, 1, text, arguments, None)
    return record.getMessage() if throttle.filter(record) else None


def test_one_kind_of_line_is_written_so_many_times_and_then_told_as_a_number():
    now = 0.0
    throttle = LogThrottle(lambda: now)
    lines = [written(throttle, "refused: %s", number) for number in range(LINES + 25)]
    assert [line for line in lines if line] == [f"refused: {number}" for number in range(LINES)]
    now = PERIOD_S
    assert written(throttle, "refused: %s", "x") == "refused: x (and 25 more like it before)"
    assert written(throttle, "refused: %s", "y") == "refused: y"


def test_other_kinds_are_written_meanwhile():
    throttle = LogThrottle(lambda: 0.0)
    for number in range(2 * LINES):
        written(throttle, "refused: %s", number)
    assert written(throttle, "device %s: token", "kitchen") == "device kitchen: token"
    assert written(throttle, "refused: %s", "x", name="another") == "refused: x"


def test_what_it_remembers_has_a_bound():
    throttle = LogThrottle(lambda: 0.0)
    for number in range(5000):
        assert written(throttle, f"line {number}")
    assert len(throttle._kinds) <= 1000
