"""What RocketMQ's engine says on a machine without Java or Maven."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from engines.engine import EngineMissingError
from engines.rocketmq import RocketMq


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory of programs, which has none, on a machine where we are not root."""
    programs = tmp_path / "programs"
    programs.mkdir()
    monkeypatch.setenv("PATH", str(programs))
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    return programs


def have(machine: Path, program: str) -> None:
    path = machine / program
    path.write_text("#!/bin/sh\nexit 1\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


@pytest.mark.parametrize("are_there", [True, False])
def test_java_is_said_to_be_missing_with_and_without_jars(machine: Path, *, are_there: bool) -> None:
    jars = machine / "jars"
    jars.mkdir()
    if are_there:
        (jars / ".complete").touch()
    with pytest.raises(EngineMissingError, match=r"\Adefault-jre-headless is not on this machine: [^\n]*\Z"):
        RocketMq(jars).fetch()


def test_maven_is_said_to_be_missing(machine: Path) -> None:
    have(machine, "java")
    with pytest.raises(EngineMissingError, match=r"\Amaven is not on this machine: install [^\n]*\Z"):
        RocketMq(machine / "jars").fetch()


def test_a_maven_that_fails_is_said_in_a_line(machine: Path) -> None:
    have(machine, "java")
    have(machine, "mvn")
    with pytest.raises(EngineMissingError, match=r"\ARocketMQ: Maven could not copy the jars [^\n]*: code 1\Z"):
        RocketMq(machine / "jars").fetch()


def test_with_both_nothing_is_fetched_twice(machine: Path) -> None:
    have(machine, "java")
    jars = machine / "jars"
    jars.mkdir()
    (jars / ".complete").touch()
    RocketMq(jars).fetch()
