"""What a request for a WebSocket connection shows. Pure."""

import re
from collections.abc import Set as AbstractSet
from typing import Final
from urllib.parse import parse_qs

from websockets.http11 import Request

from appliance.simulator.ports import Caller

_PATH: Final = re.compile(
    r"/{1,2}ws/google\.ai\.generativelanguage\.(?P<version>v1alpha|v1beta|v1)"
    r"\.GenerativeService\.BidiGenerateContent(?P<constrained>Constrained)?"
)
"""With one slash before it, or two, as the SDK sends it."""


def read_caller(request: Request, versions: AbstractSet[str]) -> Caller | None:
    """Return who asks for a connection; None where the path is not the Live API's in one of these versions.

    A token comes in the header Authorization or in the query, an API key in its header or in the query.
    """
    path, _, query = request.path.partition("?")  # urlsplit would take what follows a doubled slash for a host name
    match = _PATH.fullmatch(path)
    if match is None or match["version"] not in versions:
        return None
    constrained = match["constrained"] is not None
    if constrained:
        scheme, _, credential = _header(request, "Authorization").partition(" ")
        shown = credential if scheme == "Token" else ""
    else:
        shown = _header(request, "x-goog-api-key")
    queried = parse_qs(query).get("access_token" if constrained else "key", [""])[0]
    return Caller(constrained, match["version"], shown or queried)


def _header(request: Request, name: str) -> str:
    return "".join(request.headers.get_all(name))
