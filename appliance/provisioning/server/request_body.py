"""A request's body, read before there is anything to do with it."""

import asyncio
from typing import Final

from starlette.types import Message, Receive

from appliance.provisioning.common.protocol import MAX_REQUEST_BYTES, ProblemCode
from appliance.provisioning.server.errors import Refusal

BODY_S: Final = 5.0
"""The longest wait for a request's body."""
_LATE: Final = Refusal(ProblemCode.MALFORMED, "the body did not arrive")
_LONG: Final = Refusal(ProblemCode.TOO_LARGE, f"a request is at most {MAX_REQUEST_BYTES} bytes")


async def whole_body(receive: Receive) -> bytes | Refusal:
    """Read the body, and no more than its bound."""
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_S):
            more = True
            while more:
                message = await receive()
                if message["type"] != "http.request":
                    return _LATE
                body += message.get("body", b"")
                more = message.get("more_body", False)
                if len(body) > MAX_REQUEST_BYTES:
                    return _LONG
    except TimeoutError:
        return _LATE
    return bytes(body)


def read_already(body: bytes) -> Receive:
    """Return what hands the application a body that was read."""
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Message:
        return messages.pop() if messages else {"type": "http.disconnect"}

    return receive
