"""Servers from Debian's packages: their programs, without the services that the packages would start."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event

from engines.engine import EngineMissingError

_POLICY = Path("/usr/sbin/policy-rc.d")
_FETCH_SECONDS_MAX = 900


def install(package: str, find: Callable[[], Path | None]) -> None:
    """Install a package unless `find` finds its program. Raises EngineMissingError."""
    if find() is not None:
        return
    advice = f"install Debian's package {package}, or run this as root on Debian"
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise EngineMissingError(f"{package} is not on this machine: {advice}")
    with _no_service_starts():
        _update_lists(package)
        _apt_get(package, "install", "-y", "--no-install-recommends", package)
    if find() is None:
        raise EngineMissingError(f"{package} was installed, and its program is nowhere to be found")


_are_lists_new = Event()


def _update_lists(package: str) -> None:
    """Read once in this process which packages there are."""
    if not _are_lists_new.is_set():
        _apt_get(package, "update")
        _are_lists_new.set()


def program(name: str, directories: str = "/usr/sbin") -> Path | None:
    """Find a program on the path or in `directories`, a pattern; the last by name if there are several."""
    found = shutil.which(name)
    if found is not None:
        return Path(found)
    return max(Path("/").glob(f"{directories.lstrip('/')}/{name}"), default=None)


def _apt_get(package: str, *arguments: str) -> None:
    command = ["apt-get", "-qq", "-o", "DPkg::Lock::Timeout=120", *arguments]
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    try:
        done = subprocess.run(  # noqa: S603  # a fixed program with fixed arguments
            command, env=environment, capture_output=True, text=True, timeout=_FETCH_SECONDS_MAX, check=False
        )
    except subprocess.TimeoutExpired:
        raise EngineMissingError(
            f"{package} could not be installed: {' '.join(command)} took longer than {_FETCH_SECONDS_MAX} s"
        ) from None
    if done.returncode:
        reason = (done.stderr or done.stdout).strip().splitlines()[-1:] or [f"code {done.returncode}"]
        raise EngineMissingError(f"{package} could not be installed: {' '.join(command)}: {reason[0]}")


@contextmanager
def _no_service_starts() -> Iterator[None]:
    """Keep packages from starting their services, by the script that Debian's invoke-rc.d asks (101: not allowed)."""
    if _POLICY.exists():
        yield
        return
    _POLICY.write_text("#!/bin/sh\nexit 101\n")
    _POLICY.chmod(0o755)
    try:
        yield
    finally:
        _POLICY.unlink()
