"""Children that do not outlive their parent."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Callable

_PR_SET_PDEATHSIG = 1


def end_with_parent(stop_signal: signal.Signals = signal.SIGTERM) -> Callable[[], None] | None:
    """Make the `preexec_fn` of a child that gets `stop_signal` when its parent dies, even by SIGKILL.

    Linux alone can do that; elsewhere None, and a killed parent leaves its children behind.
    """
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None, use_errno=True)
    parent_pid = os.getpid()

    def prepare() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, stop_signal)
        # Shells let what they run in the background ignore Ctrl-C, and that is inherited.
        signal.signal(stop_signal, signal.SIG_DFL)
        # The parent may have died between the fork and the line above.
        if os.getppid() != parent_pid:
            os._exit(1)

    return prepare
