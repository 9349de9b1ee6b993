"""Input 02: two fields that begin with an unclosed quote swallowed all rows between them."""

from __future__ import annotations


def test_the_first_line_with_an_open_quote_is_named(launch, http):
    answer = launch("finetune.learning_rate choice [0.001]", dataset="quotes")
    assert answer.status_code == 422
    assert "quotes.item, line 5: title opens a quote that is not closed on this line" in answer.json()["detail"]
    assert http.get("/api/v1/studies").json()["items"] == []
