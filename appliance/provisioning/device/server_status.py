"""The server's last word on this device, saved for `appliance doctor`: status, quota, a refusal."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from appliance.errors import LinkAction, ProvisioningError, TokenRefused
from appliance.live.ports import Store
from appliance.provisioning.common.protocol import DeviceView, Quota


def _utc_now() -> datetime:
    return datetime.now(UTC)


class ServerStatus:
    """Collects what the server says; holds no secret. `save` it when nobody waits for a token."""

    def __init__(self, store: Store, wall: Callable[[], datetime] = _utc_now) -> None:
        self._store = store
        self._wall = wall
        self._view: dict[str, Any] = {}
        self._quota: Quota | None = None
        self._refused: dict[str, Any] | None = None
        self._heard_at = wall()
        self.is_unsaved = False
        """Something has changed since `save`."""

    def note_device(self, view: DeviceView) -> None:
        """Take the server's view of this device."""
        self._view = view.model_dump(
            mode="json", include={"device_id", "status", "name", "limits", "latest_agent_version"}
        )
        self._changed()

    def note_quota(self, quota: Quota | None) -> None:
        """Take the quota of a token or of a report; the last refusal is over."""
        self._quota, self._refused = quota, None
        self._changed()

    def note_refusal(self, error: ProvisioningError) -> None:
        """Take a refusal of this device; other errors say nothing about it."""
        if not isinstance(error, TokenRefused) and error.action is not LinkAction.WAIT_QUOTA:
            return
        until = self._wall() + timedelta(seconds=error.retry_after_s) if error.retry_after_s else None
        self._refused = {"why": str(error), "until": until and until.isoformat(timespec="seconds")}
        self._changed()

    async def save(self) -> None:
        """Write to the store; a change meanwhile is unsaved again."""
        self.is_unsaved = False
        saved: dict[str, Any] = {"at": self._heard_at.isoformat(timespec="seconds"), **self._view}
        if self._quota is not None:
            saved["quota"] = self._quota.model_dump(mode="json")
        if self._refused is not None:
            saved["refused"] = self._refused
        await self._store.save(saved)

    def _changed(self) -> None:
        self._heard_at, self.is_unsaved = self._wall(), True
