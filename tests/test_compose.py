"""The container files name only settings, commands, ports and routes that exist."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml

from tuner.cli.app import app as command_line
from tuner.service.app import create_app
from tuner.settings import Settings

ROOT = Path(__file__).parents[1]
SERVICES_OF_OURS = ("service", "worker")


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return loaded


@pytest.fixture(scope="module")
def dockerfile() -> str:
    return (ROOT / "Dockerfile").read_text()


@pytest.mark.parametrize("name", SERVICES_OF_OURS)
def test_every_variable_is_a_setting(compose: dict[str, Any], name: str) -> None:
    variables = compose["services"][name]["environment"]
    known = {f"TUNER_{field.upper()}" for field in Settings.model_fields}
    assert set(variables) <= known


@pytest.mark.parametrize("name", SERVICES_OF_OURS)
def test_the_settings_accept_the_values(compose: dict[str, Any], name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable, value in compose["services"][name]["environment"].items():
        monkeypatch.setenv(variable, re.sub(r"\$\{[^}]*\}", "secret", value))
    settings = Settings()
    assert settings.database == "postgresql+psycopg://rectuner:secret@postgres:5432/rectuner"


@pytest.mark.parametrize("name", SERVICES_OF_OURS)
def test_every_command_exists(compose: dict[str, Any], name: str) -> None:
    commands = typer.main.get_group(command_line).commands
    assert compose["services"][name]["command"][0] in commands


def test_the_service_trains_nothing_and_workers_scale(compose: dict[str, Any]) -> None:
    assert compose["services"]["service"]["environment"]["TUNER_WORKERS"] == "0"
    assert compose["services"]["worker"]["deploy"]["replicas"] > 1
    assert "container_name" not in compose["services"]["worker"]
    assert "ports" not in compose["services"]["worker"]


def test_service_and_workers_share_database_artifacts_and_data(compose: dict[str, Any]) -> None:
    service, worker = (compose["services"][name] for name in SERVICES_OF_OURS)
    for variable in ("TUNER_DATABASE_URL", "TUNER_ARTIFACT_ROOT", "TUNER_DATA_ROOT"):
        assert service["environment"][variable] == worker["environment"][variable]
    assert service["volumes"] == worker["volumes"]
    mount = worker["volumes"][0].split(":")[1]
    assert worker["environment"]["TUNER_ARTIFACT_ROOT"].startswith(mount)
    assert worker["environment"]["TUNER_DATA_ROOT"].startswith(mount)


def test_the_database_of_the_url_is_the_one_that_postgres_creates(compose: dict[str, Any]) -> None:
    postgres = compose["services"]["postgres"]["environment"]
    url = compose["services"]["service"]["environment"]["TUNER_DATABASE_URL"]
    assert f"//{postgres['POSTGRES_USER']}:" in url
    assert url.endswith(f"@postgres:5432/{postgres['POSTGRES_DB']}")
    assert compose["services"]["postgres"]["healthcheck"]["test"][1].startswith("pg_isready")


def test_the_health_check_asks_a_route_that_exists_on_the_port_that_is_served(
    compose: dict[str, Any], dockerfile: str, tmp_path: Path
) -> None:
    service = compose["services"]["service"]
    port, route = re.search(r"127\.0\.0\.1:(\d+)(/[\w/]+)", service["healthcheck"]["test"][-1]).groups()  # type: ignore[union-attr]
    assert port == service["environment"]["TUNER_PORT"] == str(Settings.model_fields["port"].default)
    assert service["ports"] == [f"127.0.0.1:{port}:{port}"]
    assert f"EXPOSE {port}" in dockerfile
    assert route in create_app(Settings(home=tmp_path)).openapi()["paths"]


def test_everything_started_after_something_waits_for_its_health_check(compose: dict[str, Any]) -> None:
    for service in compose["services"].values():
        for name, condition in service.get("depends_on", {}).items():
            assert condition == {"condition": "service_healthy"}
            assert "healthcheck" in compose["services"][name]


def test_the_image_copies_what_is_there_and_runs_the_command(dockerfile: str) -> None:
    ignored = (ROOT / ".dockerignore").read_text().split()
    for line in re.findall(r"^COPY (.+) \S+$", dockerfile, flags=re.MULTILINE):
        for source in line.split():
            assert (ROOT / source).exists(), source
            assert f"!{source}" in ignored, f"{source} is not sent to the builder"
    assert 'ENTRYPOINT ["tuner"]' in dockerfile
    for variable in re.findall(r"(TUNER_\w+)=", dockerfile):
        assert variable.removeprefix("TUNER_").lower() in Settings.model_fields
