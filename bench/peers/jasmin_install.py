"""Jasmin from PyPI, in a virtual environment of its own: it needs older versions of what the project needs."""

from __future__ import annotations

import subprocess
import sys
import tarfile
from pathlib import Path

from engines.engine import EngineMissingError

VERSION = "0.11.0"
"""The last whose receipts work: 0.11.1 fails at every answer of an SMSC (jookies/jasmin issue 1236)."""
AMQP_SPEC = "amqp0-9-1.xml"
"""Read by each daemon at its start, and only in the source distribution."""

_SPEC_IN_SOURCE = f"jasmin-{VERSION}/misc/config/resource/{AMQP_SPEC}"
_SETUPTOOLS = "setuptools<81"
"""Some of its dependencies import pkg_resources when they run; setuptools 81 was the first without it."""
_TWISTED = "Twisted[tls]~=23.10.0"
"""Jasmin's own bound, with the extra that another of its dependencies names: older pips search for that for minutes."""
_SECONDS_MAX = 600


def program(directory: Path, name: str) -> Path:
    """Answer where a program of the virtual environment is, or will be."""
    return directory / "venv" / "bin" / name


def install(directory: Path) -> None:
    """Install it with its AMQP specification below a directory, unless that was done. Raises EngineMissingError."""
    spec = directory / AMQP_SPEC
    if spec.exists():
        return
    directory.mkdir(parents=True, exist_ok=True)
    _run(sys.executable, "-m", "venv", str(directory / "venv"))
    pip = str(program(directory, "pip"))
    _run(pip, "install", _SETUPTOOLS, _TWISTED, f"jasmin=={VERSION}")
    _run(pip, "download", "--no-deps", "--no-binary", ":all:", "--dest", str(directory), f"jasmin=={VERSION}")
    with tarfile.open(directory / f"jasmin-{VERSION}.tar.gz") as source:
        member = source.extractfile(_SPEC_IN_SOURCE)
        if member is None:
            raise EngineMissingError(f"Jasmin's source has no {_SPEC_IN_SOURCE}")
        # Written last: that it is there says that all is.
        spec.write_bytes(member.read())


def _run(*command: str) -> None:
    advice = "Jasmin needs PyPI and a Python that it runs on, such as 3.11"
    try:
        done = subprocess.run(  # noqa: S603  # fixed programs with fixed arguments
            command, capture_output=True, text=True, timeout=_SECONDS_MAX, check=False
        )
    except subprocess.TimeoutExpired:
        raise EngineMissingError(f"{' '.join(command)} took longer than {_SECONDS_MAX} s: {advice}") from None
    if done.returncode:
        reason = (done.stderr or done.stdout).strip().splitlines()[-1:] or [f"code {done.returncode}"]
        raise EngineMissingError(f"{' '.join(command)}: {reason[0]}: {advice}")
