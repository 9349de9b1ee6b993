"""From a data set's name to the folder with its files, and how to get the well-known ones."""

from __future__ import annotations

import contextlib
import difflib
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from platformdirs import user_cache_path

from model.errors import DataError, DatasetNotFound

Progress = Callable[[int, int | None], None]  # bytes done, bytes in all (None: unknown)


@dataclass(frozen=True)
class Source:
    """A data set that :func:`fetch` can get.

    Attributes:
        requirement: the PyPI package whose wheel carries the files.
        folder: where they are in the wheel.
        files: SHA-256 by file name.
        licence: terms of use, in one or two sentences.
    """

    name: str
    description: str
    licence: str
    requirement: str
    folder: str
    files: Mapping[str, str]


DATASETS = {
    "ml-100k": Source(
        name="ml-100k",
        description="MovieLens 100K: 100,000 ratings of 1,682 films by 943 people, with the films' genres.",
        licence=(
            "GroupLens, University of Minnesota: for research, cite Harper and Konstan (2015); "
            "no redistribution and no commercial use without permission."
        ),
        requirement="recbole==1.2.1",
        folder="recbole/dataset_example/ml-100k",
        files={
            "ml-100k.inter": "4edb74e2a81178c2ba9ff381495f754f996c4aea351b1272ca36b43da0935eff",
            "ml-100k.item": "51d7cdf777ce5c0f5b32c1d947a4a81fe07d75e78abbe761e0cd4d0756064532",
            "ml-100k.user": "4f670007d9cfbeb9807e757209af1555b9bcc186bde25e767f67cb67c6dd5972",
        },
    )
}


def cache_root() -> Path:
    """Folder of fetched data sets: ``TUNER_DATA_ROOT``, else the user's cache."""
    chosen = os.environ.get("TUNER_DATA_ROOT")
    return Path(chosen) if chosen else user_cache_path("rectuner") / "datasets"


def locate(dataset: str, data_path: str | Path | None = None) -> Path:
    """The folder with ``<dataset>.inter`` (or its benchmark files).

    ``<data_path>/<dataset>/`` is looked at first, then the cache.

    Raises:
        DatasetNotFound: neither has it; the message says where it was looked for and how to get it.
    """
    if not dataset or Path(dataset).name != dataset or dataset in (".", "..") or "\0" in dataset:
        raise DatasetNotFound(f"dataset = {dataset!r}: a data set's name is a folder's name, without a path.")
    candidates = [Path(data_path or "dataset") / dataset, cache_root() / dataset]
    for folder in candidates:
        if _holds(folder, dataset):
            return folder.resolve()
    raise DatasetNotFound(_not_found(dataset, candidates))


def _holds(folder: Path, dataset: str) -> bool:
    """Whether ``folder`` has ``<dataset>.inter`` or benchmark files ``<dataset>.<suffix>.inter``.

    Raises:
        DataError: the folder may not be read.
    """
    try:
        names = [path.name for path in folder.iterdir()]
    except PermissionError as error:
        raise DataError(f"{folder}: may not be read. Give yourself the right to, or set data_path.") from error
    except OSError:  # there is no such folder, or the name is none that the file system can hold
        return False
    return any(name.startswith(f"{dataset}.") and name.endswith(".inter") for name in names)


def _names(root: Path) -> set[str]:
    try:
        return {path.name for path in root.iterdir() if path.is_dir() and not path.name.startswith(".")}
    except OSError:
        return set()


def _interactions(folder: Path) -> list[str]:
    try:
        return sorted(path.name for path in folder.iterdir() if path.suffix == ".inter")
    except OSError:
        return []


def _not_found(dataset: str, candidates: list[Path]) -> str:
    for folder in candidates:
        if others := _interactions(folder):
            held = others[0].partition(".")[0]
            return (
                f"dataset = {dataset!r}: {folder} holds {', '.join(others[:3])}, and folder and files must have one "
                f"name. Rename the files to {dataset}.inter and so on, or folder and dataset to {held}."
            )
    places = " or ".join(str(folder / f"{dataset}.inter") for folder in candidates)
    if dataset in DATASETS:
        fix = f"Get it with: tuner data get {dataset}"
    else:
        known = set(DATASETS).union(*(_names(folder.parent) for folder in candidates))
        nearest = difflib.get_close_matches(dataset, sorted(known - {dataset}), n=1)
        hint = f"Did you mean {nearest[0]}? " if nearest else ""
        fix = f"{hint}Put its atomic files there, or set data_path."
    return f"dataset = {dataset!r}: there is no {places}. {fix}"


def fetch(dataset: str, progress: Progress | None = None) -> Path:
    """Get a data set of the catalogue into the cache, unless it is there already.

    The files are checked against their SHA-256 and appear together or not at all.

    Raises:
        DatasetNotFound: the catalogue has no such data set.
        DataError: the download failed, or what came is not what was expected.
    """
    source = DATASETS.get(dataset)
    if source is None:
        raise DatasetNotFound(f"dataset = {dataset!r}: can't be fetched. Data sets that can: {', '.join(DATASETS)}.")
    target = cache_root() / dataset
    if _complete(source, target):
        return target
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{dataset}-", dir=target.parent) as scratch:
            wheel = _download(source, Path(scratch), progress)
            unpack(source, wheel, target)
    except OSError as error:
        raise DataError(f"{target}: can't be written ({error.strerror}). Set TUNER_DATA_ROOT.") from error
    return target


def unpack(source: Source, wheel: Path, target: Path) -> None:
    """Take the data set's files out of ``wheel`` into the folder ``target``.

    Raises:
        DataError: a file is missing in the wheel, or has other content than expected; ``target`` is untouched.
    """
    staging = Path(tempfile.mkdtemp(prefix=f".{source.name}-", dir=target.parent))
    try:
        with zipfile.ZipFile(wheel) as archive:
            for name, digest in source.files.items():
                try:
                    content = archive.read(f"{source.folder}/{name}")
                except KeyError as error:
                    raise DataError(f"{wheel.name}: there is no {source.folder}/{name} in it.") from error
                if hashlib.sha256(content).hexdigest() != digest:
                    raise DataError(f"{wheel.name}: {name} has another content (SHA-256) than expected.")
                _write(staging / name, content)
        _write(staging / "LICENCE.txt", f"{source.description}\n{source.licence}\n".encode())
        _put(staging, target, source)
    except zipfile.BadZipFile as error:
        raise DataError(f"{wheel.name}: is no wheel ({error}).") from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _put(staging: Path, target: Path, source: Source) -> None:
    """Rename ``staging`` to ``target``, in the place of what is there."""
    if target.exists():
        shutil.rmtree(target)
    try:
        staging.rename(target)
    except OSError:
        # Somebody else fetched the same data set meanwhile; theirs was checked like ours.
        if not _complete(source, target):
            raise


def _download(source: Source, folder: Path, progress: Progress | None) -> Path:
    if importlib.util.find_spec("pip") is None:
        raise DataError(
            f"{source.name}: needs pip to be downloaded, and {sys.executable} has none. "
            "Install it with: python -m ensurepip (or: uv pip install pip)."
        )
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    command += ["--no-deps", "--only-binary=:all:", "--dest", str(folder), source.requirement]
    # pip collects what it downloads in the temporary folder: there it can be measured, and goes away with ours.
    environment = {**os.environ, "TMPDIR": str(folder)}
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors, env=environment
        )
        try:
            _wait(process, folder, progress)
        finally:
            if process.poll() is None:  # interrupted
                process.kill()
                process.wait()
        if process.returncode != 0:
            errors.seek(0)
            lines = [line for line in errors.read().splitlines() if "error" in line.lower()]
            reason = lines[-1] if lines else f"exit code {process.returncode}"
            raise DataError(
                f"{source.name}: pip could not download {source.requirement}: {reason}. "
                "Check the network, and that pip works: python -m pip --version."
            )
    wheels = list(folder.glob("*.whl"))
    if len(wheels) != 1:
        raise DataError(f"{source.name}: pip downloaded no wheel of {source.requirement}.")
    if progress is not None:
        progress(wheels[0].stat().st_size, wheels[0].stat().st_size)
    return wheels[0]


def _wait(process: subprocess.Popen[bytes], folder: Path, progress: Progress | None) -> None:
    while True:
        try:
            process.wait(timeout=0.2)
            return
        except subprocess.TimeoutExpired:
            if progress is not None:
                progress(_size(folder), None)


def _size(folder: Path) -> int:
    """Bytes in ``folder``; files may vanish while they are counted."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                total += (Path(parent) / name).stat().st_size
    return total


def _complete(source: Source, folder: Path) -> bool:
    return all(_matches(folder / name, digest) for name, digest in source.files.items())


def _matches(path: Path, digest: str) -> bool:
    return path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == digest
