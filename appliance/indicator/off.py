"""No light at all."""

from appliance.indicator.ports import Look


class NoLight:
    """A `Light` that nobody sees."""

    def show(self, look: Look) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""
