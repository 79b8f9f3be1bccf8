"""Fetching engines, and running the suites on them."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from engines import account, debian, redis
from engines.catalogue import ENGINES, EngineUnderTest
from engines.engine import EngineMissingError
from engines.process import ServerFailedError
from engines.testing import Outcome, run_all, run_suites

ROOT = Path(__file__).parents[2]


def test_each_suite_that_is_named_is_there() -> None:
    arguments = [one for tested in ENGINES.values() for run in tested.runs for one in run]
    paths = [one.removeprefix("--ignore=") for one in arguments if "tests/" in one]
    assert len(paths) > 10
    assert [one for one in paths if not (ROOT / one).exists()] == []


class Nothing:
    """A server that does nothing."""

    url = "nothing://"
    pids = ()
    stopped = 0

    async def stop(self) -> None:
        self.stopped += 1

    async def kill(self) -> None:
        raise AssertionError


class Trial:
    """An engine that is had, or not."""

    name = "trial"

    def __init__(self, fetched: Exception | None = None, started: Exception | None = None) -> None:
        self.fetched, self.started, self.server = fetched, started, Nothing()

    def fetch(self) -> None:
        if self.fetched:
            raise self.fetched

    async def start(self, home: Path) -> Nothing:  # noqa: ARG002  # it keeps nothing
        if self.started:
            raise self.started
        return self.server


def suite(tmp_path: Path, name: str, code: str) -> tuple[str, ...]:
    path = tmp_path / f"test_{name}.py"
    path.write_text(f"import os\ndef test_it():\n    {code}\n")
    return (str(path), "-p", "no:cacheprovider")


async def test_suites_are_told_where_each_server_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, two = Trial(), Trial()
    runs = (suite(tmp_path, "both", "assert os.environ['ONE'] == os.environ['TWO'] == 'nothing://'"),)
    assert await run_suites(EngineUnderTest("pair", {"ONE": one, "TWO": two}, runs), tmp_path) is Outcome.PASSED
    assert (one.server.stopped, two.server.stopped) == (1, 1)
    assert re.fullmatch(r"pair: passed in \d+ s: 1 passed in [^\n]*\n", capsys.readouterr().out)


async def test_one_suite_that_fails_fails_an_engine_and_is_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trial = Trial()
    runs = (suite(tmp_path, "one", "assert 'here'.isupper()"), suite(tmp_path, "two", "pass"))
    assert await run_suites(EngineUnderTest("trial", {"WHERE": trial}, runs), tmp_path) is Outcome.FAILED
    assert trial.server.stopped == 1
    shown = capsys.readouterr().out
    assert "assert 'here'.isupper()" in shown
    assert re.search(r"\ntrial: failed in \d+ s: 1 failed in [^\n]*; 1 passed in [^\n]*\n\Z", shown)


async def test_engines_are_tested_side_by_side_each_in_its_own_directory(tmp_path: Path) -> None:
    begun: list[Path] = []
    all_begun = asyncio.Event()

    class Waiting(Trial):
        async def start(self, home: Path) -> Nothing:
            begun.append(home)
            if len(begun) == 2:
                all_begun.set()
            await all_begun.wait()
            return self.server

    pair = [EngineUnderTest(name, {"WHERE": Waiting()}, ()) for name in ("one", "two")]
    assert await run_all(pair, tmp_path, side_by_side=2) == [Outcome.PASSED, Outcome.PASSED]
    assert sorted(begun) == [tmp_path / "one" / "trial", tmp_path / "two" / "trial"]


async def test_an_engine_beside_one_that_does_not_start_is_stopped(tmp_path: Path) -> None:
    one, two = Trial(), Trial(started=ServerFailedError("it ended"))
    assert await run_suites(EngineUnderTest("pair", {"ONE": one, "TWO": two}, ()), tmp_path) is Outcome.FAILED
    assert one.server.stopped == 1


async def test_an_engine_that_cannot_be_had_is_told_in_a_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trial = Trial(fetched=EngineMissingError("no such package"))
    assert await run_suites(EngineUnderTest("trial", {"WHERE": trial}, ()), tmp_path) is Outcome.MISSING
    assert capsys.readouterr().out == "trial: not tested: no such package\n"


async def test_an_engine_that_does_not_start_has_failed(tmp_path: Path) -> None:
    trial = Trial(started=ServerFailedError("it ended"))
    assert await run_suites(EngineUnderTest("trial", {"WHERE": trial}, ()), tmp_path) is Outcome.FAILED


def test_what_is_there_is_not_fetched() -> None:
    debian.install("no-such-package", lambda: Path("/bin/sh"))


def test_only_root_installs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(EngineMissingError, match=r"\Aredis-server is not on this machine: install [^\n]*\Z"):
        debian.install("redis-server", lambda: None)


@pytest.fixture
def apt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An apt-get that refuses, and a machine without the script that keeps services from starting."""
    program = tmp_path / "apt-get"
    program.write_text(
        f"#!/bin/sh\ncat {tmp_path}/policy >> {tmp_path}/seen\necho 'E: no such package' >&2\nexit 100\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(debian, "_POLICY", tmp_path / "policy")
    return tmp_path


def test_a_package_that_cannot_be_had_is_told_in_a_line(apt: Path) -> None:
    with pytest.raises(EngineMissingError, match=r"\Ax could not be installed: apt-get [^\n]*: E: no such package\Z"):
        debian.install("x", lambda: None)
    assert (apt / "seen").read_text() == "#!/bin/sh\nexit 101\n", "a service would have been started"
    assert not (apt / "policy").exists()


def test_a_policy_that_is_there_stays(apt: Path) -> None:
    (apt / "policy").write_text("the machine's own\n")
    with pytest.raises(EngineMissingError):
        debian.install("x", lambda: None)
    assert (apt / "policy").read_text() == "the machine's own\n"


as_root = pytest.mark.skipif(os.geteuid() != 0, reason="about being root")


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    directory = Path("/var/lib") / f"{tmp_path.name}-engines"
    monkeypatch.setattr(account, "_ELSEWHERE", directory)
    yield directory
    shutil.rmtree(directory)


@as_root
def test_below_a_closed_directory_the_files_are_elsewhere(tmp_path: Path, elsewhere: Path) -> None:
    tmp_path.chmod(0o700)
    home = tmp_path / "home"
    data = account.own_directory(home, "nobody")
    assert data.parent == elsewhere
    assert (home / "data").resolve() == data
    assert (data.owner(), stat.S_IMODE(data.stat().st_mode)) == ("nobody", 0o700)
    (data / "kept").touch()
    assert (account.own_directory(home, "nobody") / "kept").exists()
    shutil.rmtree(home)
    assert not (account.own_directory(home, "nobody") / "kept").exists(), "a new home begins anew"


def test_files_are_in_the_home_and_nobody_elses(home: Path) -> None:
    data = account.own_directory(home, account.unprivileged("nobody"))
    assert data == home / "data"
    assert stat.S_IMODE(data.stat().st_mode) == 0o700
    account.write_private(data / "password", "x", None)
    assert stat.S_IMODE((data / "password").stat().st_mode) == 0o600


@pytest.mark.skipif(redis._find() is None, reason="redis is not on this machine")
def test_the_command_starts_one_for_people(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "engines", "start", "redis", "--home", str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    assert process.stdout is not None
    assert process.stdout.readline().startswith("BRANDMESH_TEST_REDIS_URL=redis://127.0.0.1:")
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 0
    process.stdout.close()


def test_the_command_knows_its_engines() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "engines", "test", "oracle"], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert done.returncode == 2
    assert "there is no oracle" in done.stderr
