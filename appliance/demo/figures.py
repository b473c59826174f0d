"""How the demo writes numbers, on the terminal and in the picture."""


def seconds(value: float) -> str:
    """Return a moment or a duration."""
    return f"{value:.2f} s"


def milliseconds(value: float) -> str:
    """Return a latency."""
    return f"{value:.0f} ms"


def samples(count: int) -> str:
    """Return a number of samples, or the index of one."""
    return f"{count:,}"


def score(value: float) -> str:
    """Return a wake score or a threshold, 0 to 1."""
    return f"{value:.2f}"
