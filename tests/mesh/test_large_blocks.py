"""Large blocks of memory go back to the system, in a process of its own: what is set is set for its life."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

PROGRAM = """
import ctypes, threading
from pathlib import Path
from mesh.large_blocks import give_large_blocks_back

SIZE = 30 << 20
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

def use():
    block = ctypes.c_void_p(libc.malloc(ctypes.c_size_t(SIZE)))
    ctypes.memset(block, 1, SIZE)
    libc.free(block)

give_large_blocks_back()
before = resident()
for _ in range(3):
    thread = threading.Thread(target=use)
    thread.start()
    thread.join()
print(resident() - before < SIZE // 2)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="what is looked at is a habit of glibc")
def test_large_blocks_are_given_back_also_when_they_come_again() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"
