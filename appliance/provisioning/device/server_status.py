"""The server's last word on this device, kept for `appliance doctor`: how it stands, what is left, a refusal."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from appliance.errors import LinkAction, ProvisioningError, TokenRefused
from appliance.live.ports import Store
from appliance.provisioning.common.protocol import DeviceView, Quota


def _utc_now() -> datetime:
    return datetime.now(UTC)


class ServerStatus:
    """Nothing of it is secret. ``store`` keeps it; written when there is news, and not by whoever waits for a token."""

    def __init__(self, store: Store, wall: Callable[[], datetime] = _utc_now) -> None:
        self._store = store
        self._wall = wall
        self._view: dict[str, Any] = {}
        self._quota: Quota | None = None
        self._refused: dict[str, Any] | None = None
        self._heard_at = wall()
        self.is_news = False
        """Something has been heard that is not written yet."""

    def stands(self, view: DeviceView) -> None:
        """The server has said how this device stands."""
        self._view = view.model_dump(
            mode="json", include={"device_id", "status", "name", "limits", "latest_agent_version"}
        )
        self._news()

    def served(self, quota: Quota | None) -> None:
        """The server has given a token, or taken a report."""
        self._quota, self._refused = quota, None
        self._news()

    def refused(self, error: ProvisioningError) -> None:
        """It has not; a server that cannot serve now, or was not heard, has said nothing of this device."""
        if not isinstance(error, TokenRefused) and error.action is not LinkAction.WAIT_QUOTA:
            return
        until = self._wall() + timedelta(seconds=error.retry_after_s) if error.retry_after_s else None
        self._refused = {"why": str(error), "until": until and until.isoformat(timespec="seconds")}
        self._news()

    async def keep(self) -> None:
        """Write it down; what is heard meanwhile is news again."""
        self.is_news = False
        kept: dict[str, Any] = {"at": self._heard_at.isoformat(timespec="seconds"), **self._view}
        if self._quota is not None:
            kept["quota"] = self._quota.model_dump(mode="json")
        if self._refused is not None:
            kept["refused"] = self._refused
        await self._store.save(kept)

    def _news(self) -> None:
        self._heard_at, self.is_news = self._wall(), True
