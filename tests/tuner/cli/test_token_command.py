"""Tokens on the command line, and what the service does without one."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest
from command_line import Tuner

from tuner.cli.server import bind, serving
from tuner.client import ApiError, Client
from tuner.settings import Settings


def test_a_token_is_created_listed_and_revoked(tuner: Tuner) -> None:
    created = tuner("token", "create", "laptop", "--scope", "read")
    secret = created.out.strip()
    assert created.code == 0
    assert secret.startswith("rct_")
    listed = json.loads(tuner("token", "ls", "--json").out)
    assert [(token["name"], token["scope"], token["revoked_at"]) for token in listed] == [("laptop", "read", None)]
    assert secret not in tuner("token", "ls").out
    assert tuner("token", "revoke", "laptop").code == 0
    assert json.loads(tuner("token", "ls", "--json").out)[0]["revoked_at"] is not None
    assert tuner("token", "revoke", "laptop").code == 2
    assert tuner("token", "create", "laptop").code == 2


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1"])
def test_the_service_is_not_opened_to_others_without_a_token(tuner: Tuner, host: str) -> None:
    outcome = tuner("serve", "--host", host, "--port", "0")
    assert outcome.code == 2
    assert "tuner token create" in outcome.err
    assert "--no-auth" in outcome.err


def test_a_revoked_token_is_none(tuner: Tuner) -> None:
    tuner("token", "create", "laptop")
    tuner("token", "revoke", "laptop")
    assert tuner("serve", "--host", "0.0.0.0", "--port", "0").code == 2


@pytest.mark.parametrize("flags", [("--no-auth",), ()])
def test_either_way_out_opens_it(tuner: Tuner, flags: tuple[str, ...]) -> None:
    if not flags:
        tuner("token", "create", "laptop")
    with socket.socket() as taken:
        taken.bind(("0.0.0.0", 0))
        taken.listen()
        outcome = tuner("serve", "--host", "0.0.0.0", "--port", taken.getsockname()[1], *flags)
    assert "is taken" in outcome.err  # it got as far as listening


def test_programs_find_the_token_in_the_environment(
    tuner: Tuner, home: Path, study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = tuner("token", "create", "laptop").out.strip()
    settings = Settings(home=home, port=0, workers=0, log_level="ERROR")
    with bind(settings) as listener, serving(settings, listener):
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        refused = tuner("launch", study, "--url", url)
        assert refused.code == 2
        assert "TUNER_TOKEN" in refused.err
        with Client(url, token=secret) as client:
            assert client.list_studies().total == 0
        monkeypatch.setenv("TUNER_TOKEN", secret)
        assert tuner("launch", study, "--url", url).code == 0
        with Client(url) as client:
            assert client.get_study("toy-study").state == "queued"
        monkeypatch.setenv("TUNER_TOKEN", "wrong")
        with Client(url) as client, pytest.raises(ApiError) as error:
            client.list_studies()
        assert error.value.status == 401
