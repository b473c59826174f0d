"""The server's event loop: uvloop's where there is one, else asyncio's; no name server holds its end up."""

from typing import TYPE_CHECKING

from appliance.net.event_loop import DetachedResolver

if TYPE_CHECKING:
    from asyncio import SelectorEventLoop as _Loop
else:
    try:
        from uvloop import Loop as _Loop
    except ImportError:
        from asyncio import SelectorEventLoop as _Loop


class ServerLoop(DetachedResolver, _Loop):
    """Makes an event loop for uvicorn, which takes it by `NAME`."""


NAME = f"{ServerLoop.__module__}:{ServerLoop.__name__}"
