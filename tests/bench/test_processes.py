from __future__ import annotations

import os
import subprocess
import sys

from bench.processes import cpu_seconds, cpu_us_per_message


def test_processor_time_is_shared_among_messages_in_microseconds() -> None:
    before, after = {"gateway": 1.0, "sms": 2.0}, {"gateway": 1.5, "sms": 2.0}
    assert cpu_us_per_message(before, after, 1000) == {"gateway": 500.0, "sms": 0.0}


def test_the_time_of_children_counts() -> None:
    busy = "import time\nwhile time.process_time() < 0.3: pass\nprint('done', flush=True)\ninput()"
    child = subprocess.Popen([sys.executable, "-c", busy], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert child.stdin is not None
    assert child.stdout is not None
    before = cpu_seconds({"alone": (child.pid,)})["alone"]
    assert child.stdout.readline() == "done\n"
    spent = cpu_seconds({"alone": (child.pid,), "with its parent": (os.getpid(),)})
    child.communicate("\n")
    assert spent["alone"] >= before
    assert spent["with its parent"] > spent["alone"] >= 0.3 - 0.02
