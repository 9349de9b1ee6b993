"""The socket that the service listens on."""

from __future__ import annotations

import asyncio
import socket

from tuner.cli.server import bind
from tuner.settings import Settings


def test_answers_on_a_kept_connection_are_sent_at_once() -> None:
    """Without TCP_NODELAY each of them waits some 40 ms for the client's delayed acknowledgement."""
    options: list[int] = []

    async def accept_one(listener: socket.socket) -> None:
        accepted = asyncio.Event()

        class Look(asyncio.Protocol):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                connection = transport.get_extra_info("socket")
                options.append(connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
                transport.close()
                accepted.set()

        server = await asyncio.get_running_loop().create_server(Look, sock=listener)
        async with server:
            _reader, writer = await asyncio.open_connection(*listener.getsockname()[:2])
            await asyncio.wait_for(accepted.wait(), 10)
            writer.close()

    with bind(Settings(port=0)) as listener:
        asyncio.run(accept_one(listener))
    assert options[0] != 0
