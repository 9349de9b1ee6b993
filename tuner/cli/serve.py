"""``tuner serve``: the service and its workers, until Ctrl-C."""

from __future__ import annotations

from typing import Annotated

import typer

from tuner.cli.environment import check_writable, open_database, out, read_settings
from tuner.cli.server import address, bind, make_server

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


def serve(host: Host = None, port: Port = None, workers: Workers = None, workers_per_gpu: WorkersPerGpu = None) -> None:
    """Serve the REST API and the dashboard, and run the studies that are launched."""
    settings = read_settings(host=host, port=port, workers=workers, workers_per_gpu=workers_per_gpu)
    check_writable(settings.artifacts, "TUNER_ARTIFACT_ROOT or TUNER_HOME")
    # Here, and not only in the application's start-up: this way a bad database is a message, not a log.
    with open_database(settings):
        pass
    with bind(settings) as listener:
        url = address(settings, listener)
        out.print(f"Rectuner is at {url} (API: {url}/docs). Ctrl-C stops it.", soft_wrap=True)
        server = make_server(settings)
        server.run([listener])
    if not server.started:
        raise typer.Exit(1)
