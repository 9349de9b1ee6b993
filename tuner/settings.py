"""Settings of an installation, from TUNER_* environment variables (or a .env file).

What a study computes never depends on them; they say where things are and how much of the machine to use.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from platformdirs import user_data_path
from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """One installation. Every field can be set as ``TUNER_<FIELD>``."""

    model_config = SettingsConfigDict(env_prefix="TUNER_", env_file=".env", extra="ignore", frozen=True)

    home: Path = Field(
        default_factory=lambda: user_data_path("rectuner"),
        description="Folder of the SQLite file and the artifacts, unless these are set apart.",
    )
    database_url: str | None = Field(
        default=None,
        description="SQLAlchemy URL (sqlite or postgresql+psycopg). Default: sqlite at <home>/tuner.db.",
    )
    artifact_root: Path | None = Field(
        default=None, description="Folder of checkpoints. Every worker needs it. Default: <home>/artifacts."
    )
    data_root: Path | None = Field(
        default=None, description="Cache of fetched data sets. Default: the user's cache folder."
    )
    host: str = Field(default="127.0.0.1", description="Address that the service listens on.")
    port: int = Field(default=8000, ge=0, le=65535, description="Port of the service.")
    auth: Literal["auto", "always", "never"] = Field(
        default="auto",
        description="Whether the service asks for a token. auto: when others may reach it (host is not loopback), or "
        "when a token was ever created.",
    )
    hosts: str = Field(
        default="",
        description="Names, separated by commas, by which the service may be called beside localhost and addresses.",
    )
    roots: str = Field(
        default="",
        description="Folders, separated as in PATH, that requests may name in data_path and pre_model_path, beside "
        "artifacts, data root, dataset/ and saved/.",
    )
    workers: int | None = Field(
        default=None,
        ge=0,
        description="Worker processes the service keeps on this machine. Default: workers_per_gpu for every GPU, "
        "without GPUs one per core; 0: none, because they are started elsewhere (tuner worker).",
    )
    workers_per_gpu: int = Field(default=1, ge=1, description="Workers that share one GPU.")
    worker_threads: int = Field(default=1, ge=1, description="Computing threads of one worker on CPU.")
    lease_seconds: float = Field(
        default=30.0, gt=0, description="A worker not heard of for this long has lost its claim."
    )
    checkpoint_epochs: int = Field(
        default=1, ge=1, description="Epochs between two checkpoints of a running stage: what a crash costs at most."
    )
    cache_gb: float = Field(default=20.0, ge=0, description="Bound for shared stage checkpoints, in GB.")
    weights_gb: float = Field(
        default=20.0,
        ge=0,
        description="Bound for the weights that one study keeps, in GB; its best trial's always stay.",
    )
    prepared_gb: float = Field(
        default=10.0, ge=0, description="Bound for prepared data sets in the data root, in GB; 0: none are kept."
    )
    log_level: str = Field(default="INFO", description="Level of the log on standard error.")

    @property
    def database(self) -> str:
        """The database URL in force."""
        return self.database_url or f"sqlite:///{self.home / 'tuner.db'}"

    @property
    def own_names(self) -> tuple[str, ...]:
        """The names that the service may be called by, beside localhost and addresses."""
        return (self.host, *(name.strip() for name in self.hosts.split(",") if name.strip()))

    @property
    def artifacts(self) -> Path:
        """The artifact folder in force."""
        return self.artifact_root or self.home / "artifacts"
