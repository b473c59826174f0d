"""A stand-in for the Gemini API's token method on loopback: keeps what it was sent, answers what it was told to."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import trustme

from tests.support.provisioning import TOKEN


@dataclass
class TokenService:
    """One TLS server; ``body`` None: it never answers."""

    url: str = ""
    status: int = 200
    body: bytes | None = json.dumps({"name": TOKEN}).encode()
    requests: list[tuple[str, dict[str, str], Any]] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                await self._exchange(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:-2])}
        body = json.loads(await reader.readexactly(int(headers["content-length"])))
        self.requests.append((head[0], headers, body))
        if self.body is None:
            await reader.read()
            raise ConnectionResetError
        answer = (
            f"HTTP/1.1 {self.status} X\r\ncontent-type: application/json\r\ncontent-length: {len(self.body)}\r\n\r\n"
        )
        writer.write(answer.encode() + self.body)
        await writer.drain()


@asynccontextmanager
async def token_service(ca_file: Path) -> AsyncIterator[TokenService]:
    """Run one, with a certificate whose authority is written to ``ca_file``."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(ca_file))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    service = TokenService()
    server = await asyncio.start_server(service.serve, "127.0.0.1", 0, ssl=context)
    service.url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield service
    finally:
        server.close()
        # Connections end once the other side, which is closed by now, is seen to have ended.
        if open_connections := asyncio.all_tasks() - {asyncio.current_task()}:
            await asyncio.wait(open_connections, timeout=10)
