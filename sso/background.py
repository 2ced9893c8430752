"""A thread of each process that serves the hub, which sends what requests leave behind."""

from __future__ import annotations

import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable


class Background(ABC):
    """Nothing happens before ``serve``: commands and tests send when they say so."""

    def __init__(self, name: str, hear: list[Callable[[], None]]) -> None:
        #: ``hear``: what whoever leaves something calls.
        self._name, self._hear = name, hear
        self._serving = False
        self._pid = 0
        self._wake = threading.Event()
        self._lock = threading.Lock()

    def serve(self) -> None:
        """This process serves people: the first thing left to do starts the thread. Safe before a fork."""
        if not self._serving:
            self._serving = True
            self._hear.append(self.wake)

    def start(self) -> None:
        """Start the thread now, for what an earlier process left. After a fork, once a process."""
        with self._lock:
            if self._pid == os.getpid():
                return
            self._pid = os.getpid()
            self._wake = threading.Event()
            threading.Thread(target=self._run, name=self._name, daemon=True).start()

    def wake(self) -> None:
        self.start()
        self._wake.set()

    @abstractmethod
    def _run(self) -> None:
        """The thread's own: waits for ``_wake``, for ever."""
