"""Attributes for assistive technology; their names have a hyphen, which Python's keywords can't have."""

from __future__ import annotations

from typing import Any


def aria(**values: str) -> dict[str, Any]:
    """``aria(label="Order")`` -> ``{"aria-label": "Order"}``, to be passed with ``**``."""
    return {f"aria-{name}": value for name, value in values.items()}
