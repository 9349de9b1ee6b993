"""The socket that the service listens on."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tuner.cli.connections import BoundedProtocol
from tuner.cli.server import bind, serving
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

    # In a thread of its own: a browser test before this one leaves its event loop running in the main thread.
    with bind(Settings(port=0)) as listener, ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, accept_one(listener)).result()
    assert options[0] != 0


@pytest.mark.parametrize(
    "begun",
    [
        b"",
        b"GET /api/v1/health HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ",
        b"POST /api/v1/studies HTTP/1.1\r\nHost: a.localhost\r\nContent-Length: 9\r\n"
        b"Content-Type: application/json\r\n\r\n{",
    ],
    ids=["nothing", "half of the headers", "half of the body"],
)
def test_a_request_that_is_never_finished_is_given_up(
    begun: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(BoundedProtocol, "request_seconds", 0.2)
    settings = Settings(home=tmp_path, port=0, workers=0, log_level="ERROR")
    with bind(settings) as listener, serving(settings, listener):
        with socket.create_connection(listener.getsockname()[:2], timeout=20) as connection:
            connection.sendall(begun)
            with contextlib.suppress(ConnectionResetError):
                assert connection.recv(100) == b""
        # Whole ones are answered, several on one connection.
        kept = http.client.HTTPConnection(*listener.getsockname()[:2], timeout=20)
        for _ in range(2):
            kept.request("GET", "/api/v1/version")
            assert kept.getresponse().read().startswith(b"{")
        kept.close()
    assert "Traceback" not in capfd.readouterr().err
