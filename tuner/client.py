"""A typed client of the REST service.

>>> with Client("http://127.0.0.1:8000") as client:                       # doctest: +SKIP
...     created = client.create_study({"model": "S3Rec", "dataset": "ml-100k",
...                                    "params": "pretrain_epochs choice [50, 100]"})
...     for snapshot in client.watch(created.name):
...         print(snapshot.study.state, snapshot.study.best_value)
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, TypeVar

import httpx
from pydantic import BaseModel, TypeAdapter

from model.whole_files import whole_file
from tuner.errors import TunerError
from tuner.insight.snapshot import MOST_ENDED, MOST_RUNNING, Snapshot, only_ended
from tuner.insight.summaries import (
    EventSummary,
    Importances,
    Page,
    StageSummary,
    StudySummary,
    TrialDetail,
    TrialSummary,
)
from tuner.specification import StudySpecification

T = TypeVar("T")
Verb = Literal["pause", "resume", "stop", "cancel"]

Form = Literal["json", "yaml", "recbole", "flags", "python"]
Format = Literal["csv", "ndjson", "parquet", "recbole"]

_SECONDS = 30.0
_JSON = "application/json"
# What the service answers with: anything else comes from somebody else.
_FORMS: dict[Form, str] = {
    "json": _JSON,
    "yaml": "application/yaml",
    "recbole": "application/yaml",
    "flags": "text/plain",
    "python": "text/plain",
}
_FORMATS: dict[Format, str] = {
    "csv": "text/csv",
    "ndjson": "application/x-ndjson",
    "parquet": "application/vnd.apache.parquet",
    "recbole": "text/plain",
}


class ApiError(TunerError):
    """The service refused. ``status`` is HTTP's, ``problem`` the RFC 9457 document."""

    def __init__(self, status: int, problem: Mapping[str, Any]) -> None:
        self.status = status
        self.problem = dict(problem)
        super().__init__(str(problem.get("detail") or problem.get("title") or f"HTTP {status}"))


class ServiceUnreachable(TunerError):
    """Nothing answers at the address, or what answers is no Rectuner service."""


class CreatedStudy(BaseModel):
    """What the service says about a study that it has created."""

    id: int
    name: str
    state: str
    max_trials: int
    warnings: list[str]


class Client:
    """A connection to one service; use it as a context manager, or call :meth:`close`.

    ``token`` is what the service asks for, TUNER_TOKEN unless given.
    Every method raises ApiError when the service refuses, ServiceUnreachable when it does not answer.
    """

    def __init__(self, url: str, *, token: str | None = None, timeout: float = _SECONDS) -> None:
        self.url = url.rstrip("/")
        token = token or os.environ.get("TUNER_TOKEN")
        headers = {"authorization": f"Bearer {token.strip()}"} if token else None
        try:
            self._http = httpx.Client(base_url=f"{self.url}/api/v1", headers=headers, timeout=timeout)
        except (httpx.InvalidURL, ValueError) as error:
            raise ServiceUnreachable(f"{url!r} is not an address ({error}). {_EXAMPLE}") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def create_study(self, study: StudySpecification | Mapping[str, Any]) -> CreatedStudy:
        """Create a study from a specification, or from a body as ``POST /studies`` takes it."""
        body = study.model_dump(mode="json") if isinstance(study, StudySpecification) else dict(study)
        return self._ask(CreatedStudy, "POST", "/studies", json=body)

    def upload_study(self, params_file: Path, config_files: tuple[Path, ...] = (), **fields: str | int) -> CreatedStudy:
        """Create a study from files, as ``curl -F params_file=@...`` does."""
        files = [("params_file", (params_file.name, params_file.read_bytes()))]
        files += [("config_files", (file.name, file.read_bytes())) for file in config_files]
        texts = {key: str(value) for key, value in fields.items()}
        return self._ask(CreatedStudy, "POST", "/studies", data=texts, files=files)

    def get_study(self, name: str) -> StudySummary:
        """One study by name or id."""
        return self._ask(StudySummary, "GET", f"/studies/{name}")

    def get_specification(self, name: str) -> StudySpecification:
        """What was asked for when the study was created."""
        return self._ask(StudySpecification, "GET", f"/studies/{name}/specification")

    def list_studies(self, *, state: str | None = None, limit: int = 50, offset: int = 0) -> Page[StudySummary]:
        """Studies, newest first."""
        return self._ask(Page[StudySummary], "GET", "/studies", params=_given(state=state, limit=limit, offset=offset))

    def list_trials(
        self,
        name: str,
        *,
        state: str | None = None,
        order: str = "number",
        limit: int = 100,
        offset: int = 0,
    ) -> Page[TrialSummary]:
        """Trials of a study."""
        parameters = _given(state=state, order=order, limit=limit, offset=offset)
        return self._ask(Page[TrialSummary], "GET", f"/studies/{name}/trials", params=parameters)

    def get_trial(self, name: str, number: int) -> TrialDetail:
        """One trial with its curves."""
        return self._ask(TrialDetail, "GET", f"/studies/{name}/trials/{number}")

    def get_configuration(self, name: str, number: int | None = None, form: Form = "json") -> str:
        """A trial's configuration, to be used as it is; without a number the best trial's."""
        path = "best" if number is None else f"trials/{number}/configuration"
        return self._send("GET", f"/studies/{name}/{path}", _FORMS[form], params={"format": form}).text

    def export(self, name: str, file: Path, chosen: Format = "csv") -> None:
        """Write all trials of a study to a file."""
        path, asked = f"/studies/{name}/export", {"format": chosen}
        with self._answer("GET", path, _FORMATS[chosen], params=asked) as answer, whole_file(file) as written:
            for piece in answer.iter_bytes():
                written.write(piece)

    def get_plot(self, name: str, kind: str, theme: Literal["light", "dark"] = "light") -> dict[str, Any]:
        """A figure as Plotly reads it: ``plotly.graph_objects.Figure(client.get_plot(...))``."""
        return self._ask(dict[str, Any], "GET", f"/studies/{name}/plots/{kind}", params={"theme": theme})

    def list_stages(self, name: str, *, limit: int = 50, offset: int = 0) -> Page[StageSummary]:
        """The stages that the study's trials share."""
        return self._ask(
            Page[StageSummary], "GET", f"/studies/{name}/stages", params=_given(limit=limit, offset=offset)
        )

    def list_events(
        self,
        name: str | None = None,
        *,
        kind: str | None = None,
        after: int | None = None,
        limit: int = 50,
        offset: int = 0,
    ) -> Page[EventSummary]:
        """What happened to a study, or in the whole installation: the newest first, or what came ``after`` an id."""
        parameters = _given(kind=kind, after=after, limit=limit, offset=offset)
        path = "/events" if name is None else f"/studies/{name}/events"
        return self._ask(Page[EventSummary], "GET", path, params=parameters)

    def enqueue_trial(self, name: str, params: Mapping[str, Any]) -> StudySummary:
        """Run a trial with these values of the searched parameters before the others."""
        return self._ask(StudySummary, "POST", f"/studies/{name}/trials", json={"params": dict(params)})

    def retry_trial(self, name: str, number: int) -> StudySummary:
        """Run a failed trial's parameters again, as a new trial."""
        return self._ask(StudySummary, "POST", f"/studies/{name}/trials/{number}/retry")

    def get_importances(self, name: str) -> Importances:
        """How much each parameter matters; ``pending`` while the service still looks at newer trials."""
        return self._ask(Importances, "GET", f"/studies/{name}/importances")

    def act(self, name: str, verb: Verb) -> StudySummary:
        """Pause, resume, stop or cancel a study."""
        return self._ask(StudySummary, "POST", f"/studies/{name}/{verb}")

    def raise_budget(self, name: str, max_trials: int) -> StudySummary:
        """Let a study run ``max_trials`` trials in all."""
        return self._ask(StudySummary, "PATCH", f"/studies/{name}", json={"max_trials": max_trials})

    def delete_study(self, name: str) -> None:
        """Delete a study that has ended."""
        self._send("DELETE", f"/studies/{name}")

    def health(self) -> dict[str, Any]:
        """What works at the service."""
        return self._ask(dict[str, Any], "GET", "/health")

    def snapshot(self, name: str) -> Snapshot:
        """The study as it is now."""
        running = self.list_trials(name, state="running", limit=MOST_RUNNING).items
        study = self.get_study(name)
        ended = self.list_trials(name, order="-ended_at", limit=MOST_ENDED).items
        return Snapshot(study, running, only_ended(ended))

    def watch(self, name: str, seconds: float = 1.0) -> Iterator[Snapshot]:
        """Snapshots every ``seconds``; the last one is of the ended or paused study."""
        while True:
            snapshot = self.snapshot(name)
            yield snapshot
            if snapshot.rests:
                return
            time.sleep(seconds)

    def _ask(self, kind: type[T], method: str, path: str, **arguments: Any) -> T:
        return TypeAdapter(kind).validate_json(self._send(method, path, **arguments).content)

    def _send(self, method: str, path: str, expected: str = _JSON, **arguments: Any) -> httpx.Response:
        with self._answer(method, path, expected, **arguments) as response:
            response.read()
        return response

    @contextmanager
    def _answer(self, method: str, path: str, expected: str, **arguments: Any) -> Iterator[httpx.Response]:
        """The answer as far as its headers, when they are what was expected."""
        try:
            with self._http.stream(method, path, **arguments) as response:
                if response.is_error:
                    response.read()
                    raise ApiError(response.status_code, _problem(response))
                if not response.headers.get("content-type", expected).startswith(expected):
                    raise ServiceUnreachable(f"What answers at {self.url} is no Rectuner service. {_EXAMPLE}")
                yield response
        except httpx.HTTPError as error:
            raise ServiceUnreachable(
                f"Nothing answers at {self.url} ({error}). Start the service: tuner serve."
            ) from error


_EXAMPLE = "Write, for example, http://127.0.0.1:8000."


def _given(**values: Any) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}


def _problem(response: httpx.Response) -> dict[str, Any]:
    try:
        document = response.json()
    except ValueError:
        document = None
    if isinstance(document, dict):
        return document
    return {"title": response.reason_phrase, "status": response.status_code}
