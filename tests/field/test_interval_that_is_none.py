"""Input 16: a filter that is no interval filtered nothing, and who launched was not told."""

from __future__ import annotations

import pytest


@pytest.mark.parametrize(
    ("key", "value"),
    [("user_inter_num_interval", 5), ("item_inter_num_interval", "3"), ("user_inter_num_interval", "[9,2]")],
)
def test_it_is_refused_with_the_form_that_was_meant(launch, http, key, value):
    answer = launch("finetune.learning_rate choice [0.001]", config={key: value})
    assert answer.status_code == 422
    assert f"{key} = " in answer.json()["detail"]
    assert "Write '[" in answer.json()["detail"]
    assert http.get("/api/v1/studies").json()["items"] == []


def test_the_command_ends_with_2(tuner, tmp_path):
    params = tmp_path / "hp.test"
    params.write_text("finetune.learning_rate choice [0.001]\n")
    code, said = tuner("run", "--model=S3Rec", "--dataset=t", f"--params_file={params}", "--user_inter_num_interval=5")
    assert code == 2
    assert "user_inter_num_interval = 5 is no interval. Write '[5,inf)' for at least 5." in said
