"""Whom a server runs as: servers of databases refuse to be root, which CI may well be."""

from __future__ import annotations

import hashlib
import os
import pwd
import shutil
import subprocess
from pathlib import Path

_ELSEWHERE = Path("/var/lib/brandmesh-engines")


def unprivileged(user: str) -> str | None:
    """Answer `user` if we are root, and None otherwise: then the server runs as who we are."""
    return user if os.geteuid() == 0 else None


def own_directory(home: Path, user: str | None) -> Path:
    """Make the directory that a server running as `user` keeps its files in; nobody else can look into it.

    It is `home`/data, except where a directory above is closed to `user`, as root's own is: then it is one of root's
    below /var/lib, and `home`/data a link to it.
    """
    home.mkdir(parents=True, exist_ok=True)
    data = home.resolve() / "data"
    if user is not None and not _can_enter(user, data.parent):
        data = _elsewhere(data)
    data.mkdir(mode=0o700, exist_ok=True)
    if user is not None:
        shutil.chown(data, user, pwd.getpwnam(user).pw_gid)
    return data


def write_private(path: Path, text: str, user: str | None) -> None:
    """Write a file that only a server running as `user` can read."""
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    path.write_text(text)
    if user is not None:
        shutil.chown(path, user)


def _elsewhere(data: Path) -> Path:
    _ELSEWHERE.mkdir(mode=0o755, exist_ok=True)
    target = _ELSEWHERE / hashlib.sha256(os.fsencode(data)).hexdigest()[:16]
    if not data.is_symlink():
        # What an earlier home of the same path left there is not this one's.
        shutil.rmtree(target, ignore_errors=True)
        data.symlink_to(target)
    return target


def _can_enter(user: str, directory: Path) -> bool:
    account = pwd.getpwnam(user)
    check = subprocess.run(  # noqa: S603  # a fixed program
        ["test", "-x", directory],  # noqa: S607  # in every PATH
        user=account.pw_uid,
        group=account.pw_gid,
        extra_groups=[],
        check=False,
        cwd="/",
    )
    return check.returncode == 0
