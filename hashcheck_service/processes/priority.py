"""Threads that let others go first."""

import os
import sys
import threading
from typing import Final

LOW: Final = 10
LOWEST: Final = 19


def give_way(nice: int = LOW) -> None:
    """Lower the priority of the thread this is called in, where threads have priorities of their own (Linux)."""
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), nice)
