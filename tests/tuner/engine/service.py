"""A service reduced to its supervisor, as a process that the chaos test can kill."""

from __future__ import annotations

import logging
import signal
import threading

from tuner.engine.fleet.supervisor import Supervisor
from tuner.settings import Settings

if __name__ == "__main__":
    logging.basicConfig(level="WARNING")
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    supervisor = Supervisor(Settings())
    supervisor.start()
    ended.wait()
    supervisor.stop()
