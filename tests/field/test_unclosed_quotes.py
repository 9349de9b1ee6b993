"""Input 02: two fields that begin with an unclosed quote swallowed all rows between them."""

from __future__ import annotations

import pytest

from model.config import load_config
from model.data import load_dataset
from model.errors import DataError


def test_the_first_line_with_an_open_quote_is_named(settings):
    columns = {"inter": ["user_id", "item_id", "timestamp"], "item": ["item_id", "class"]}
    config = load_config("S3Rec", "quotes", config_dict={"load_col": columns})
    with pytest.raises(DataError, match=r"quotes\.item, line 5: title opens a quote that is not closed on this line"):
        load_dataset(config)
