"""The dashboard without a browser: its callbacks called over HTTP as Dash calls them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from dash.development.base_component import Component
from fastapi import FastAPI
from fastapi.testclient import TestClient
from httpx import Response

from tuner.dashboard import shell
from tuner.dashboard.context import context_of
from tuner.dashboard.routing import page_at
from tuner.settings import Settings
from tuner.store import Database

STUDY = {"model": "S3Rec", "dataset": "toy", "params": "n_layers choice [1, 2]\n"}


@dataclass
class Dashboard:
    """The application, and what a browser would make of its pages.

    Attributes:
        clicks: what the counters of clicks say of a page that was just inserted.
    """

    http: TestClient
    app: FastAPI
    settings: Settings
    clicks: int | None = None

    @property
    def database(self) -> Database:
        found: Database = self.app.state.database
        return found

    def launch(self, name: str, **fields: Any) -> str:
        """Launch a study over REST."""
        answer = self.http.post("/api/v1/studies", json=STUDY | {"name": name} | fields)
        assert answer.status_code == 201, answer.text
        return name

    def page(self, path: str) -> Component:
        """The content of the page at an address."""
        return page_at(context_of(self.app, self.settings), path)

    def callbacks(self) -> list[dict[str, Any]]:
        """The callbacks that run in the service, as the browser knows them."""
        found = self.http.get("/_dash-dependencies").json()
        return [callback for callback in found if callback["clientside_function"] is None]

    def callback(self, output: str) -> dict[str, Any]:
        """The one with this output, e.g. ``study-message.children``."""
        (found,) = [callback for callback in self.callbacks() if output in _parts(callback["output"])]
        return found

    def inserted(self, path: str) -> Iterator[tuple[str, Response]]:
        """Call all callbacks of a page as Dash does when the page is inserted: (output, answer) of each."""
        parts = {**_components(shell.layout()), **_components(self.page(path))}
        parts["location"].pathname = path
        for part in parts.values():
            for counter in {"n_clicks", "submit_n_clicks"} & set(part.available_properties):
                setattr(part, counter, self.clicks)
        for callback in self.callbacks():
            if all(_has(parts, entry["id"]) for entry in callback["inputs"]):
                yield callback["output"], self.call(callback, parts)

    def click(self, path: str, output: str, clicked: str, **values: Any) -> Response:
        """Click one thing on a page; ``values`` are those of elements that were filled before, by id with ``_``."""
        parts = {**_components(shell.layout()), **_components(self.page(path))}
        for name, value in values.items():
            parts[name.replace("_", "-")].value = value
        element, _, counter = clicked.partition(".")
        setattr(parts[element], counter, 1)
        return self.call(self.callback(output), parts, [clicked])

    def change(self, path: str, output: str, changed: str, values: dict[str, Any]) -> dict[str, Any]:
        """Change a property on a page; ``values`` are by id with ``_`` and property. What the callback sets."""
        parts = {**_components(shell.layout()), **_components(self.page(path))}
        for name, value in values.items():
            element, _, attribute = name.partition(".")
            setattr(parts[element.replace("_", "-")], attribute, value)
        answer: dict[str, Any] = self.call(self.callback(output), parts, [changed]).json()["response"]
        return answer

    def call(self, callback: dict[str, Any], parts: dict[str, Component], changed: list[str] | None = None) -> Response:
        """Call a callback with the values of ``parts``; ``changed`` are the properties that say why."""
        inputs = [_value(parts, entry) for entry in callback["inputs"]]
        outputs = [_output(parts, output) for output in _parts(callback["output"])]
        if changed is None:
            changed = [f"{_text(entry['id'])}.{entry['property']}" for entry in inputs if isinstance(entry, dict)]
        body = {
            "output": callback["output"],
            "outputs": outputs if callback["output"].startswith("..") else outputs[0],
            "inputs": inputs,
            "state": [_value(parts, entry) for entry in callback["state"]],
            "changedPropIds": changed,
        }
        # The components' own encoding: a value may be a component.
        text = json.dumps(body, default=lambda component: component.to_plotly_json())
        return self.http.post("/_dash-update-component", content=text, headers={"content-type": "application/json"})


def _parts(output: str) -> list[str]:
    return output.strip(".").split("...")


def _components(root: Component) -> dict[str, Component]:
    every = [root, *root._traverse()]
    return {_text(part.id): part for part in every if getattr(part, "id", None) is not None}


def _text(name: Any) -> str:
    return name if isinstance(name, str) else json.dumps(name, sort_keys=True, separators=(",", ":"))


def _matching(parts: dict[str, Component], name: str) -> list[str]:
    """Ids that fit one with wildcards."""
    wanted = {key: value for key, value in json.loads(name).items() if not isinstance(value, list)}
    ids = [json.loads(text) for text in parts if text.startswith("{")]
    keys = json.loads(name).keys()
    return [_text(found) for found in ids if found.keys() == keys and wanted.items() <= found.items()]


def _has(parts: dict[str, Component], name: str) -> bool:
    return bool(_matching(parts, name)) if name.startswith("{") else name in parts


def _value(parts: dict[str, Component], entry: dict[str, str]) -> Any:
    def of(name: str) -> dict[str, Any]:
        known = json.loads(name) if name.startswith("{") else name
        return {"id": known, "property": entry["property"], "value": getattr(parts[name], entry["property"], None)}

    if not entry["id"].startswith("{"):
        return of(entry["id"])
    found = [of(name) for name in _matching(parts, entry["id"])]
    return found if "ALL" in entry["id"] else found[0]


def _output(parts: dict[str, Component], output: str) -> Any:
    name, _, attribute = output.partition("@")[0].rpartition(".")
    suffix = output[len(name) + 1 :]
    if not name.startswith("{"):
        return {"id": name, "property": suffix}
    found = [{"id": json.loads(text), "property": attribute} for text in _matching(parts, name)]
    return found if "ALL" in name else found[0]
