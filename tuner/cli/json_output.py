"""What commands print with ``--json``."""

from __future__ import annotations

from typing import Annotated

import typer

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def to_json(value: object) -> str:
    """``value`` as indented JSON, times in ISO 8601."""
    from pydantic import TypeAdapter

    return TypeAdapter(object).dump_json(value, indent=2).decode()
