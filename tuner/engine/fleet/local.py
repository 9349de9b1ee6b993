"""Workers as processes of this machine."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import uuid
from contextlib import suppress

from tuner.engine.fleet.machine import choose_gpu, own_gpus
from tuner.settings import Settings

# A worker that a supervisor started ends after so long without work; the next study starts a new one.
IDLE_EXIT_SECONDS = 60.0


class LocalExecutor:
    """Starts ``python -m tuner.engine.work.entry``; the settings travel in the environment.

    Each worker has a session of its own, so that a Ctrl-C in the terminal reaches the service only, which
    then stops them in order. They end by themselves when this process dies. Where there are GPUs, each has one of them.
    """

    def __init__(self, idle_exit: float = IDLE_EXIT_SECONDS) -> None:
        self._idle_exit = idle_exit
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._gpus = own_gpus()
        self._gpu_of: dict[str, str] = {}

    def start(self, settings: Settings) -> str:
        worker_id = uuid.uuid4().hex
        command = [sys.executable, "-m", "tuner.engine.work.entry", "--id", worker_id]
        command += ["--parent", str(os.getpid()), "--idle-exit", str(self._idle_exit)]
        variables = environment(settings)
        if (gpu := choose_gpu(self._gpus, self._gpu_of.values())) is not None:
            # The worker sees this GPU only, and calls it its first.
            variables["CUDA_VISIBLE_DEVICES"] = self._gpu_of[worker_id] = gpu
        self._processes[worker_id] = subprocess.Popen(
            command, env=variables, stdin=subprocess.DEVNULL, start_new_session=True
        )
        return worker_id

    def list(self) -> dict[str, bool]:
        alive = {worker_id: process.poll() is None for worker_id, process in self._processes.items()}
        self._processes = {key: process for key, process in self._processes.items() if alive[key]}
        self._gpu_of = {key: gpu for key, gpu in self._gpu_of.items() if key in self._processes}
        return alive

    def stop(self, worker_id: str, *, kill: bool = False) -> None:
        process = self._processes.get(worker_id)
        if process is not None:
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGKILL if kill else signal.SIGTERM)


def environment(settings: Settings) -> dict[str, str]:
    """This process's environment with every setting spelled out, wherever it came from."""
    variables = {
        f"TUNER_{name.upper()}": str(value) for name, value in settings.model_dump().items() if value is not None
    }
    return os.environ | variables
