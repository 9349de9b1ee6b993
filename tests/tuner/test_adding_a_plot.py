"""A plot is one function and one entry in a table: REST draws it and its schema names it without another change."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PROGRAM = """
import sys
from pathlib import Path

import plotly.graph_objects as go
from fastapi.testclient import TestClient

from tuner.insight import figures


def mine(database, name, theme="light"):
    return go.Figure(layout={"title": {"text": f"mine of {name} in {theme}"}})


figures.FIGURES["mine"] = mine

from tuner.service.app import PREFIX, create_app
from tuner.settings import Settings

with TestClient(create_app(Settings(home=Path(sys.argv[1]), workers=0)), base_url="http://localhost") as client:
    drawn = client.get(f"{PREFIX}/studies/first/plots/mine", params={"theme": "dark"})
    assert drawn.json()["layout"]["title"]["text"] == "mine of first in dark", drawn.text
    assert '"mine"' in client.get("/openapi.json").text
"""


def test_a_new_plot_is_drawn_and_named_by_the_service(tmp_path: Path) -> None:
    made = subprocess.run([sys.executable, "-c", PROGRAM, str(tmp_path)], capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
