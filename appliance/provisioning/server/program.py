"""``appliance-provisiond``: runs the provisioning server until SIGTERM, or with ``admin``, the operator's commands.

Prints one line of JSON when it is ready: ``{"url": "https://127.0.0.1:8443", "ca_file": "…"}`` (``ca_file`` with
``--development`` only, else null). What is wrong goes to standard error, one line each.
"""

import argparse
import errno
import gc
import json
import logging
import resource
import signal
import socket
import sys
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn

import uvicorn

from appliance.console.argument_types import Parser, printable
from appliance.errors import ApplianceError, ConfigurationError, ExitCode
from appliance.net.event_loop import DetachedResolver
from appliance.provisioning.common.protocol import MAX_REQUEST_BYTES
from appliance.provisioning.server import devices, metrics
from appliance.provisioning.server.app import ServerParts, create_app, utc_now
from appliance.provisioning.server.certificate import HOST, Certificate, make_certificate
from appliance.provisioning.server.connection_limits import MAX_CONNECTIONS, ConnectionLimits
from appliance.provisioning.server.identity import next_key, own_key, previous_key, refuse_open
from appliance.provisioning.server.log_throttle import LogThrottle
from appliance.provisioning.server.middleware import Drain
from appliance.provisioning.server.migrate import open_store
from appliance.provisioning.server.paced_server import PacedServer
from appliance.provisioning.server.pool import UpstreamPool
from appliance.provisioning.server.request_queue import RequestQueue
from appliance.provisioning.server.settings import DeviceLimits, ServerSettings, load
from appliance.provisioning.server.store import DatabaseStore
from appliance.provisioning.server.timestamps import milliseconds
from appliance.provisioning.server.upstream import GeminiUpstream

KEEP_ALIVE_S = 75
"""Longer than devices keep an idle connection."""
GRACE_S = 0.3
"""Time for running answers at the stop. A device that gets none retries."""
BACKLOG = 1024
"""Connections that wait to be accepted. The kernels of further clients retry."""
GC_THRESHOLD = 20_000
"""Allocations between two garbage collections; Python's default of 700 would run several in each request."""
NO_IPV6 = frozenset({errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL})
OTHER_FILES = 256
"""Open files besides devices' connections: the database's, the upstream's, the libraries'."""
MIN_CONNECTIONS = 16
"""Connections allowed however low the limit of open files is."""


@dataclass(frozen=True, slots=True)
class Shared:
    """State that the application and its HTTP server share."""

    drain: Drain = field(default_factory=Drain)
    counters: metrics.Metrics = field(default_factory=metrics.Metrics)
    queue: RequestQueue = field(default_factory=RequestQueue)


if TYPE_CHECKING:
    from asyncio import SelectorEventLoop as _Loop
else:
    try:
        from uvloop import Loop as _Loop
    except ImportError:
        from asyncio import SelectorEventLoop as _Loop


class ServerLoop(DetachedResolver, _Loop):
    """uvloop's event loop if installed, else asyncio's; a hanging name server does not delay its end."""


LOOP = f"{ServerLoop.__module__}:{ServerLoop.__name__}"


class _AnnouncingServer(PacedServer):
    """Prints the ready line once it accepts connections, and refuses new requests once it is stopping."""

    def __init__(self, config: uvicorn.Config, listener: socket.socket, ready: str, shared: Shared) -> None:
        limits = ConnectionLimits(_connections(), on_severed=shared.counters.severed)
        super().__init__(config, listener, limits=limits, handshakes_allowed=lambda: shared.queue.handshakes_allowed)
        self._ready_line = ready
        self._drain = shared.drain

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._drain.begin()
        super().handle_exit(sig, frame)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            with suppress(OSError):  # standard output is closed; devices are served all the same
                print(self._ready_line, flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program and return its exit code.

    0 after a signal, 69 without its address or its database, 73 on a full disk, 78 for a wrong setting.
    """
    given = sys.argv[1:] if arguments is None else arguments
    if given[:1] == ["admin"]:
        from appliance.provisioning.server.admin import command  # noqa: PLC0415  the server does not need its libraries

        return command.main(given[1:])
    options = _options(given)
    signal.signal(signal.SIGTERM, _end)
    signal.signal(signal.SIGINT, _end)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as under nohup
        signal.signal(signal.SIGHUP, lambda *_: signal.raise_signal(signal.SIGTERM))  # the terminal was closed
    _log_to_standard_error()
    try:
        settings, ca_file = _settings(options)
        with ExitStack() as stack:
            return _serve(settings, ca_file, stack)
    except ConfigurationError as error:
        for mistake in error.mistakes:
            _complain(mistake)
        return error.exit_code
    except ApplianceError as error:
        _complain(str(error))
        return error.exit_code


def _log_to_standard_error() -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(LogThrottle())
    logging.basicConfig(level=logging.INFO, handlers=[handler], format="%(levelname)s %(name)s: %(message)s")


def _serve(settings: ServerSettings, ca_file: Path | None, stack: ExitStack) -> int:
    """Serve until a signal; raises ConfigurationError and StoreUnavailable before anything is served."""
    shared = Shared()
    config = _server_config(settings, shared, stack)
    address = f"{settings.host} port {settings.port}"
    try:
        listener = stack.enter_context(listen(settings))
        address = f"{metrics.HOST} port {settings.metrics_port}"
        metrics_port = stack.enter_context(metrics.served(shared.counters, settings.metrics_port))
    except OSError as error:
        reason = str(error.strerror).partition(" (")[0]
        _complain(f"cannot listen on {address}: {reason}")
        return ExitCode.UNAVAILABLE
    ready = {"url": _url(listener), "ca_file": str(ca_file) if ca_file else None, "metrics_port": metrics_port}
    # The libraries' objects live as long as the program; frozen, no collection traverses them.
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD)
    _AnnouncingServer(config, listener, json.dumps(ready), shared).run(sockets=[])
    return ExitCode.OK


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(
        prog="appliance-provisiond",
        description="Hand Live tokens to devices, until SIGTERM.",
        epilog="Claims, devices, policies, keys, usage and the audit: appliance-provisiond admin --help",
    )
    parser.add_argument("--config", type=Path, metavar="FILE", help="settings file (TOML)")
    parser.add_argument("--port", type=int, metavar="N", help="port to listen on, instead of the setting; 0: any free")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--host", help="address to listen on, instead of the setting")
    where.add_argument(
        "--development",
        type=Path,
        metavar="DIR",
        help=f"listen on {HOST} with a new certificate; DIR/ca.pem is what a device has to trust",
    )
    return parser.parse_args(arguments)


def _settings(options: argparse.Namespace) -> tuple[ServerSettings, Path | None]:
    """Return the settings, and with ``--development`` the certificate file that a device has to trust."""
    flags: dict[str, Any] = {name: getattr(options, name) for name in ("host", "port")}
    flags = {name: value for name, value in flags.items() if value is not None}
    if options.development is None:
        return load(options.config, flags), None
    made = make_certificate(options.development.absolute())
    # No quotas in development, where a test may hold a thousand conversations in a minute.
    unlimited = {name: 0 for name, field in DeviceLimits.model_fields.items() if field.annotation is int}
    flags |= {"host": HOST, "tls_certificate": made.certificate, "tls_key": made.key, "limits": unlimited}
    flags |= {"state_dir": options.development.absolute()}
    return load(options.config, flags), made.ca_file


def _server_config(settings: ServerSettings, shared: Shared, stack: ExitStack) -> uvicorn.Config:
    if settings.tls_certificate is None or settings.tls_key is None:
        raise ConfigurationError("tls_certificate, tls_key: both have to be set; or try --development DIR")
    refuse_open(settings.tls_key, "tls_key")
    certificate = Certificate(settings.tls_certificate, settings.tls_key, utc_now)
    store = _store(settings, stack)
    upstream = UpstreamPool([GeminiUpstream(settings, key) for key in settings.api_keys()])
    parts = ServerParts(
        settings,
        upstream,
        store,
        store.transact_here(partial(own_key, settings=settings)),
        drain=shared.drain,
        queue=shared.queue,
        metrics=shared.counters,
        certificate=certificate,
        next_key=next_key(settings),
        previous_key=previous_key(settings),
    )
    config = uvicorn.Config(
        create_app(parts),
        ssl_certfile=settings.tls_certificate,
        ssl_keyfile=settings.tls_key,
        http="h11",
        loop=LOOP,
        ws="none",
        log_config=None,
        log_level=logging.WARNING,
        access_log=False,
        server_header=False,
        # Always set: otherwise the environment decides, and any program on loopback is believed.
        proxy_headers=bool(settings.proxies),
        forwarded_allow_ips=settings.forwarders(),
        h11_max_incomplete_event_size=MAX_REQUEST_BYTES,
        timeout_keep_alive=KEEP_ALIVE_S,
        # It is annotated as a whole number, and handed to asyncio.wait_for.
        timeout_graceful_shutdown=GRACE_S,  # type: ignore[arg-type]
    )
    config.load()
    if config.ssl is not None:
        certificate.keep_current(config.ssl)
    return config


def _store(settings: ServerSettings, stack: ExitStack) -> DatabaseStore:
    """Return the store, migrated and updated with the devices of the settings; closed with ``stack``."""
    store = open_store(settings)
    stack.callback(store.close)
    apply = partial(devices.apply_settings, table=settings.devices, now=milliseconds(datetime.now(UTC)))
    store.transact_here(apply)
    return store


def listen(settings: ServerSettings) -> socket.socket:
    """Return a socket at the address of the settings; raises OSError."""
    address = (settings.host, settings.port)
    if ":" not in settings.host:
        return socket.create_server(address, backlog=BACKLOG)
    # "::" stands for all addresses, IPv4 too.
    dual = socket.has_dualstack_ipv6()
    try:
        return socket.create_server(address, family=socket.AF_INET6, backlog=BACKLOG, dualstack_ipv6=dual)
    except OSError as error:
        if error.errno not in NO_IPV6 or settings.host != "::":
            raise
    logging.getLogger(__name__).warning("this machine has no IPv6: listening on IPv4 alone")
    return socket.create_server(("0.0.0.0", settings.port), backlog=BACKLOG)  # noqa: S104  as "::" says


def _connections() -> int:
    """Raise the limit of open files as far as allowed, and return the number of connections that it leaves."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_CONNECTIONS + OTHER_FILES
    if soft < wanted:
        with suppress(OSError, ValueError):  # a sandbox may forbid it
            resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted, hard), hard))
    allowed = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return max(MIN_CONNECTIONS, min(MAX_CONNECTIONS, allowed - OTHER_FILES))


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"


def _end(number: int, frame: FrameType | None) -> NoReturn:
    """Exit cleanly. In force before uvicorn handles signals, and after: it raises the signal again."""
    del number, frame
    sys.exit(ExitCode.OK)


def _complain(line: str) -> None:
    print(f"appliance-provisiond: {printable(line)}", file=sys.stderr)
