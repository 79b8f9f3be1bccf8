from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def home() -> Iterator[Path]:
    """A directory that others may enter, as they may a checkout's; those of pytest are closed to servers' users."""
    directory = Path(tempfile.mkdtemp(prefix="engines-"))
    directory.chmod(0o755)
    yield directory / "home"
    shutil.rmtree(directory)
