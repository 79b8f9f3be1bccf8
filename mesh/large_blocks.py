"""Memory of the C library: for a process that takes large blocks now and then, and is not to keep them for its life."""

from __future__ import annotations

import ctypes

# Numbers of glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3

_LARGE_BYTES = 1 << 20


def give_large_blocks_back() -> None:
    """Have blocks of 1 MiB and more go back to the system whenever they are freed.

    glibc takes it as a habit when one is freed, and keeps as much from then on. Other libraries have no such habit, and
    nothing to set.
    """
    set_option = getattr(ctypes.CDLL(None), "mallopt", None)
    if set_option is not None:
        set_option(_M_MMAP_THRESHOLD, _LARGE_BYTES)
        # As glibc keeps the two: with the first one set, this would stay so small that a busy heap is cut all the time.
        set_option(_M_TRIM_THRESHOLD, 2 * _LARGE_BYTES)
