"""Input 08: a search over what is measured, by the back door of the data filters."""

from __future__ import annotations

import pytest


@pytest.mark.parametrize(
    "line",
    [
        'item_inter_num_interval choice ["[0,inf)","[3,inf)"]',
        'user_inter_num_interval choice ["[0,inf)","[6,inf)"]',
        "finetune.item_inter_num_interval choice ['[0,inf)','[3,inf)']",
        "val_interval choice [\"{'rating': '[2,inf)'}\", \"{'rating': '[3,inf)'}\"]",
        "filter_inter_by_user_or_item choice [True, False]",
        "rm_dup_inter choice ['first', 'last']",
    ],
)
def test_filters_can_not_be_searched(launch, http, line):
    answer = launch(line)
    assert answer.status_code == 422
    assert "values that were measured in different ways can't be compared" in answer.json()["detail"]
    assert http.get("/api/v1/studies").json()["items"] == []
