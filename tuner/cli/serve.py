"""``tuner serve``: the service and its workers, until Ctrl-C."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.markup import escape

from tuner.cli.environment import check_writable, err, open_database, out, read_settings
from tuner.errors import StoreAway

Port = Annotated[int | None, typer.Option("--port", min=0, max=65535, help="Port. Default: TUNER_PORT, 8000.")]
Host = Annotated[str | None, typer.Option("--host", help="Address. Default: TUNER_HOST, 127.0.0.1.")]
Workers = Annotated[
    int | None,
    typer.Option("--workers", min=0, help="Worker processes on this machine. Default: one per GPU or core."),
]
WorkersPerGpu = Annotated[
    int | None,
    typer.Option("--workers_per_gpu", "--workers-per-gpu", min=1, help="Workers that share one GPU. Default: 1."),
]


NoAuth = Annotated[
    bool, typer.Option("--no-auth", help="Ask nobody for a token: whoever reaches the service may do everything.")
]


def serve(
    host: Host = None,
    port: Port = None,
    workers: Workers = None,
    workers_per_gpu: WorkersPerGpu = None,
    no_auth: NoAuth = False,
) -> None:
    """Serve the REST API and the dashboard, and run the studies that are launched."""
    from tuner.access import check_start, needs_token
    from tuner.cli.server import address, bind, login_address, make_server
    from tuner.engine.files.artifact_store import join_store

    auth = "never" if no_auth else None
    settings = read_settings(host=host, port=port, workers=workers, workers_per_gpu=workers_per_gpu, auth=auth)
    check_writable(settings.artifacts, "TUNER_ARTIFACT_ROOT or TUNER_HOME")
    # Here, and not only in the application's start-up: this way a bad database is a message, not a log.
    with open_database(settings) as database:
        check_start(settings, database)
        asks = needs_token(settings, database)
        if settings.workers != 0:
            try:
                join_store(database, settings.artifacts)
            except StoreAway as away:
                err.print(escape(f"{away} The workers wait for it."), soft_wrap=True)
    with bind(settings) as listener:
        url = address(settings, listener)
        out.print(f"Rectuner is at {url} (API: {url}/docs). Ctrl-C stops it.", soft_wrap=True)
        server = make_server(settings)
        if asks:
            # Whoever reads the address may use it: it is for eyes at a terminal, not for a log that is kept.
            printed = f"once, within 15 minutes: {login_address(server, url)}" if out.is_terminal else "with a token."
            out.print(f"Log in {printed}", soft_wrap=True)
        server.run([listener])
    if not server.started:
        raise typer.Exit(1)
