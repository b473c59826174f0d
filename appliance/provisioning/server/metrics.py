"""Counters and gauges for Prometheus, served on a separate loopback port."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server

from appliance.provisioning.common.protocol import DeviceStatus
from appliance.provisioning.server.fleet_counts import FleetCounts

HOST = "127.0.0.1"
_SECONDS = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4)


class Metrics:
    """Counters of one server, and gauges of its database; nothing in them names a device."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._answers = Counter("provisiond_answers", "Answers by status", ["status"], registry=self.registry)
        self._refusals = Counter("provisiond_refusals", "Refusals by code", ["code"], registry=self.registry)
        self._mints = Counter("provisiond_mints", "Tokens asked of the service", ["result"], registry=self.registry)
        self._seconds = Histogram(
            "provisiond_mint_seconds", "Time the service took for a token", buckets=_SECONDS, registry=self.registry
        )
        self._devices = Gauge(
            "provisiond_devices", "Devices in the database by status", ["status"], registry=self.registry
        )
        self._in_use = Gauge("provisiond_sessions_in_use", "Tokens whose session may go on", registry=self.registry)
        self._expires_at = Gauge(
            "provisiond_certificate_expires_at_seconds",
            "End of the TLS certificate in use, since 1970",
            registry=self.registry,
        )
        self._taken_back = Counter("provisiond_taken_back", "Sessions counted, never minted", registry=self.registry)
        self._severed = Counter(
            "provisiond_severed_connections",
            "Connections ended by the server because it waited for them too long, or others had to have their place",
            ["stage"],
            registry=self.registry,
        )

    def answered(self, status: int) -> None:
        """Count an answer of the protocol."""
        self._answers.labels(str(status)).inc()

    def refused(self, code: str) -> None:
        """Count a refusal."""
        self._refusals.labels(code).inc()

    def minted(self, result: str, seconds: float) -> None:
        """Count a request to the service: "ok", or the code of the problem."""
        self._mints.labels(result).inc()
        self._seconds.observe(seconds)

    def update_fleet(self, found: FleetCounts) -> None:
        """Set the gauges of devices and sessions. Several servers with one database report the same."""
        for status in DeviceStatus:
            self._devices.labels(status.value).set(found.devices.get(status.value, 0))
        self._in_use.set(found.in_use)

    def certificate(self, expires_at: datetime) -> None:
        """Set the end of the certificate in use."""
        self._expires_at.set(expires_at.timestamp())

    def severed(self, stage: str) -> None:
        """Count a connection that the server closed, by its stage."""
        self._severed.labels(stage).inc()

    def refunded(self, sessions: int) -> None:
        """Count sessions that a sweep refunded."""
        self._taken_back.inc(sessions)


@contextmanager
def served(metrics: Metrics, port: int | None) -> Iterator[int | None]:
    """Serve the metrics from a thread while the block runs, and yield the port; with None, serve nothing.

    Raises:
        OSError: The port is taken.
    """
    if port is None:
        yield None
        return
    server, thread = start_http_server(port, addr=HOST, registry=metrics.registry)
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
