"""`python -m meshctl run`, as `make run` starts it: what it prints, what it leaves behind, what it goes on with."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

SECONDS_MAX = 60


def start(state: Path) -> tuple[subprocess.Popen[str], str]:
    """Start the mesh and read what it prints until it serves."""
    environment = {**os.environ, "COLUMNS": "200"}
    process = subprocess.Popen(
        [sys.executable, "-m", "meshctl", "run", "--state", str(state), "--no-fixed-ports"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
    )
    assert process.stdout is not None
    printed = ""
    while "Ctrl-C stops" not in printed:
        line = process.stdout.readline()
        assert line, f"it ended: {printed}"
        printed += line
    return process, printed


def stop(process: subprocess.Popen[str], number: signal.Signals) -> None:
    """Stop it, and see that none of its processes is left."""
    family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    assert len(family) == 13
    process.send_signal(number)
    _, alive = psutil.wait_procs(family, timeout=SECONDS_MAX)
    assert process.stdout is not None
    process.stdout.close()
    process.wait(SECONDS_MAX)
    assert not [one for one in alive if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]


def get(url: str, key: str) -> dict[str, Any]:
    output = subprocess.run(
        [sys.executable, "-c", _GET, url, key], check=True, capture_output=True, text=True, timeout=SECONDS_MAX
    ).stdout
    return dict(json.loads(output))


_GET = """
import sys, urllib.request
request = urllib.request.Request(sys.argv[1], headers={"Authorization": f"Bearer {sys.argv[2]}"})
print(urllib.request.urlopen(request).read().decode())
"""


@pytest.mark.timeout(150)
def test_it_shows_an_sms_and_a_call_stops_cleanly_and_goes_on_where_it_was(tmp_path: Path) -> None:
    process, printed = start(tmp_path)
    for step in ("accepted", "queued", "charged", "submitted", "delivered"):
        assert step in printed
    assert "801房间下单了水饺2份,请注意" in printed
    message_id = printed.split("SMS ")[1].split()[0]
    first = json.loads((tmp_path / "demo.json").read_text())
    assert set(first) == {"gateway", "brands", "grpc", "sandbox"}
    stop(process, signal.SIGINT)

    process, _ = start(tmp_path)
    second = json.loads((tmp_path / "demo.json").read_text())
    assert second["brands"] == first["brands"], "the keys of the first run are kept"
    brand = second["brands"][0]
    base = f"{second['gateway']}/v1/brands/{brand['brand_id']}"
    assert get(f"{base}/sms/{message_id}", brand["api_key"])["sms"]["status"] == "delivered"
    assert get(f"{base}/smsAccount", brand["api_key"])["spent"] == 2
    stop(process, signal.SIGTERM)


@pytest.mark.timeout(120)
def test_a_second_one_on_the_same_state_is_refused_and_a_killed_one_leaves_no_process(tmp_path: Path) -> None:
    process, _ = start(tmp_path)
    other = subprocess.run(
        [sys.executable, "-m", "meshctl", "run", "--state", str(tmp_path)],
        check=False,
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
    )
    assert other.returncode == 1
    assert "another mesh runs on" in other.stdout
    stop(process, signal.SIGKILL)
