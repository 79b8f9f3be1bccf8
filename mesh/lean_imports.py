"""Importing a library without the others that it would load merely because they are installed."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without(*names: str) -> Iterator[None]:
    """Let imports in this block find no module of these names, unless it is loaded already.

    For libraries that look whether another one is there, and do without it where it is not.
    """
    hidden = [name for name in names if name not in sys.modules]
    # Python's own way to say of a module that there is none.
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]  # typeshed knows modules only
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]
