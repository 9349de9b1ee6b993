"""The dashboard: a Dash application on the service's FastAPI application."""

from __future__ import annotations

from tuner.dashboard.app import mount

__all__ = ["mount"]
