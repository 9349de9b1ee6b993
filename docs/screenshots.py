"""Pictures of a running service for the README: ``python docs/screenshots.py URL STUDY [--trial N]``.

Writes dashboard.png (the study), studies.png and trial.png to docs/images, each below 300 KB. The browser is the
one that TUNER_CHROMIUM names, else a Chromium or Chrome on the path. Needs the ``dev`` extra (playwright).
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
from playwright.sync_api import sync_playwright

IMAGES = Path(__file__).parent / "images"
MOST_BYTES = 300_000
_BROWSERS = ("chromium", "chromium-browser", "google-chrome")
_ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
# Plots are drawn after the page's first answer; only filled figures have a uirevision.
_DRAWN = """() => [...document.querySelectorAll(".dash-graph")].every(graph => {
    const plot = graph.querySelector(".js-plotly-plot");
    return plot && plot.layout && plot.layout.uirevision;
})"""
_SETTLE_MS = 1500


def main() -> int:
    """Take the pictures; exit code 1 when something is missing or a picture is too large."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url", help="address of the service, for example http://127.0.0.1:8000")
    parser.add_argument("study", help="name of a study")
    parser.add_argument("--trial", type=int, help="number of a trial; default: the best one")
    parser.add_argument("--scheme", choices=("light", "dark"), default="light")
    parser.add_argument("--folder", type=Path, default=IMAGES)
    options = parser.parse_args()
    browser = os.environ.get("TUNER_CHROMIUM") or next(filter(None, map(shutil.which, _BROWSERS)), None)
    if browser is None:
        sys.stderr.write(f"No browser: set TUNER_CHROMIUM, or install one of {', '.join(_BROWSERS)}.\n")
        return 1
    url = options.url.rstrip("/")
    study = f"/studies/{quote(options.study, safe='')}"
    answer = httpx.get(f"{url}/api/v1{study}")
    answer.raise_for_status()
    trial = options.trial if options.trial is not None else answer.json()["best_trial"]
    shots = {"dashboard.png": (study, 1000), "studies.png": ("/", 620)}
    if trial is not None:
        shots["trial.png"] = (f"{study}/trials/{trial}", 900)
    options.folder.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=browser, args=_ARGUMENTS)
        pictures = [
            _take(chromium, url + path, options.folder / name, height, options.scheme)
            for name, (path, height) in shots.items()
        ]
        chromium.close()
    too_large = [picture for picture in pictures if picture.stat().st_size > MOST_BYTES]
    for picture in pictures:
        sys.stdout.write(f"{picture} {picture.stat().st_size:,} bytes\n")
    return 1 if too_large else 0


def _take(chromium: Any, address: str, target: Path, height: int, scheme: str) -> Path:
    page = chromium.new_page(viewport={"width": 1280, "height": height}, color_scheme=scheme, bypass_csp=True)
    page.goto(address)
    page.wait_for_selector("h1")
    page.wait_for_function(_DRAWN, timeout=60_000)
    page.wait_for_timeout(_SETTLE_MS)
    page.screenshot(path=str(target))
    page.close()
    return target


if __name__ == "__main__":
    sys.exit(main())
