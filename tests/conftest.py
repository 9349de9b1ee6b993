"""What holds for all tests."""

from __future__ import annotations

import os

# The processes of pytest-xdist have a width of 80 in their environment, which a console that is made while a module is
# imported would keep, whatever a test sets later.
os.environ.pop("COLUMNS", None)
