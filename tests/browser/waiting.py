"""Waiting for what a page shows."""

from __future__ import annotations

import time
from typing import Any

_SECONDS = 120.0


def wait_until(page: Any, expression: str) -> None:
    """Wait until a JavaScript expression is true.

    Playwright's own ``wait_for_function`` evaluates texts in the page, which the service's policy forbids.
    """
    end = time.monotonic() + _SECONDS
    while not page.evaluate(f"() => {{ try {{ return Boolean({expression}); }} catch {{ return false; }} }}"):
        assert time.monotonic() < end, f"never true: {expression}"
        page.wait_for_timeout(50)
