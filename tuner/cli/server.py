"""The service as a server: bound before anything starts, in this thread or beside it."""

from __future__ import annotations

import errno
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from tuner.cli.connections import MOST_CONNECTIONS, BoundedProtocol
from tuner.errors import SettingsError, TunerError
from tuner.settings import Settings

_START_SECONDS = 60.0


def bind(settings: Settings) -> socket.socket:
    """The socket that the service will listen on.

    Raises:
        SettingsError: the port is taken or the address is not this machine's; names it and the way out.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    # With its protocol named: asyncio sets TCP_NODELAY only where it is, and without it every answer on a kept
    # connection waits for the client's delayed acknowledgement.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
        listener.listen()
    except OSError as error:
        listener.close()
        raise SettingsError(_explain(settings, error)) from None
    return listener


def address(settings: Settings, listener: socket.socket) -> str:
    """Where a browser on this machine finds the service."""
    host = "127.0.0.1" if settings.host in ("0.0.0.0", "::") else settings.host
    return f"http://{f'[{host}]' if ':' in host else host}:{listener.getsockname()[1]}"


def make_server(settings: Settings) -> uvicorn.Server:
    """The service, not yet running."""
    # Here, because it brings the whole dashboard, for which no other command should have to wait.
    from tuner.service.app import create_app

    level = settings.log_level.lower()
    configuration = uvicorn.Config(
        create_app(settings),
        http=BoundedProtocol,
        limit_concurrency=MOST_CONNECTIONS,
        log_level=level,
        access_log=level == "debug",
        timeout_graceful_shutdown=5,
    )
    return uvicorn.Server(configuration)


def login_address(server: uvicorn.Server, url: str) -> str:
    """An address that lets in one browser, once; whoever sees it may use it, so it is for a terminal."""
    # The type of `Config.app` says nothing about what it is.
    return f"{url}/login?token={server.config.app.state.doorkeeper.print_secret()}"  # type: ignore[union-attr]


@contextmanager
def serving(settings: Settings, listener: socket.socket) -> Iterator[None]:
    """Serve beside the block; when it ends, workers give back their trials and the server stops.

    Raises:
        TunerError: the service did not start; its log says why.
    """
    server = make_server(settings)
    thread = threading.Thread(target=server.run, args=([listener],), name="service", daemon=True)
    thread.start()
    deadline = time.monotonic() + _START_SECONDS
    while not server.started:
        if not thread.is_alive() or time.monotonic() > deadline:
            raise TunerError("The service did not start; what it logged above says why.")
        time.sleep(0.05)
    try:
        yield
    finally:
        server.should_exit = True
        thread.join()


def _explain(settings: Settings, error: OSError) -> str:
    place = f"port {settings.port} of {settings.host}"
    if error.errno == errno.EADDRINUSE:
        return (
            f"{place} is taken by another program (perhaps another tuner serve). "
            f"Stop that, or choose another port: --port {settings.port + 1}."
        )
    if error.errno == errno.EACCES:
        return f"{place} can't be opened ({error.strerror}). Choose a port above 1023: --port 8000."
    return f"{place} can't be opened ({error.strerror}). Check TUNER_HOST and TUNER_PORT."
