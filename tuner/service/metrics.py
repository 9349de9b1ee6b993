"""What Prometheus reads at ``/metrics``: totals of the installation, and how long requests take."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tuner.insight.measures import Measures, measures
from tuner.store import Database

# Several scrapers, or an impatient one, cost as much as one.
_KEPT_SECONDS = 5.0


class Totals(Collector):
    """Reads the totals when somebody asks, and at most every few seconds.

    They are gauges: what a deleted study has cost is no longer in them.
    """

    def __init__(self, database: Callable[[], Database], clock: Callable[[], float] = time.monotonic) -> None:
        self._database, self._clock = database, clock
        self._kept: tuple[float, Measures] | None = None

    def describe(self) -> Iterable[Metric]:
        """Nothing is read when the collector is registered."""
        return ()

    def collect(self) -> Iterable[Metric]:
        now = self._clock()
        if self._kept is None or now - self._kept[0] > _KEPT_SECONDS:
            self._kept = now, measures(self._database())
        found = self._kept[1]
        yield _by("rectuner_studies", "Studies by state.", "state", found.studies)
        yield _by("rectuner_trials", "Trials by state.", "state", found.trials)
        yield _by("rectuner_workers", "Living workers by state.", "state", found.workers)
        yield _by("rectuner_shared_epochs", "Epochs of shared stages: asked, run, reused.", "kind", found.epochs)
        yield GaugeMetricFamily("rectuner_queue", "Trials that run or may be claimed.", found.claimable)
        yield GaugeMetricFamily("rectuner_computing_seconds", "Time of all epochs.", found.computing_seconds)


class TimedRequests:
    """ASGI middleware: notes the seconds of every answer by method, route and status."""

    def __init__(self, app: ASGIApp, seconds: Histogram) -> None:
        self.app, self._seconds = app, seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begun = time.perf_counter()

        async def noting(message: Message) -> None:
            if message["type"] == "http.response.start":
                # A stream lasts as long as it is listened to; what was waited for is its beginning.
                noted = self._seconds.labels(scope["method"], _route(scope), message["status"])
                noted.observe(time.perf_counter() - begun)
            await send(message)

        await self.app(scope, receive, noting)


def make_registry(database: Callable[[], Database]) -> tuple[CollectorRegistry, Histogram]:
    """The measures of one application: a registry of its own, and the histogram that its requests go into."""
    registry = CollectorRegistry()
    registry.register(Totals(database))
    labels = ("method", "route", "status")
    return registry, Histogram("rectuner_request_seconds", "Time to an answer.", labels, registry=registry)


def _by(name: str, text: str, label: str, values: dict[str, int] | dict[str, float]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, text, labels=(label,))
    for key, value in values.items():
        family.add_metric((key,), value)
    return family


def _route(scope: Scope) -> str:
    """The route as it is declared, so that there are as many as the service has, whatever is asked for."""
    route: BaseRoute | None = scope.get("route")
    return str(getattr(route, "path", "other"))
