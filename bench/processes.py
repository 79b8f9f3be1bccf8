"""What each process of a mesh has used: processor time and memory, as the system counts them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import psutil

from bench.engine_choice import DatabaseEngine
from bench.local import Measured

Pids = Mapping[str, tuple[int, ...]]
"""Processes by the name that a table shows."""

OF_ONE_SMS = ("gateway", "sms", "costcenter", "sms_rmq", "costcenter_rmq", "valkey", "database", "sandbox")
"""Those that an SMS comes through, and the provider's stand-in, which has no part in a real installation."""


def pids_of(measured: Measured, database: DatabaseEngine) -> dict[str, tuple[int, ...]]:
    """Answer the processes of a mesh, the Valkey and the database server that it brings with it included."""
    mesh = measured.mesh
    found = {spec.name: (mesh.supervisor.pid(spec.name),) for spec in mesh.specs()}
    servers = {"valkey": (mesh.embedded_valkey.pid,) if mesh.embedded_valkey else (), "database": database.pids}
    return found | {name: pids for name, pids in servers.items() if pids}


def cpu_seconds(processes: Pids) -> dict[str, float]:
    """Read the processor time that each has used since its start, with what its children have."""
    return {name: sum(map(_cpu_seconds, _family(pids))) for name, pids in processes.items()}


def cpu_us_per_message(before: Mapping[str, float], after: Mapping[str, float], messages: int) -> dict[str, float]:
    """Share the processor time that was used between two readings among messages, in microseconds."""
    return {name: (after[name] - before[name]) / messages * 1e6 for name in before}


def _family(pids: tuple[int, ...]) -> Iterator[psutil.Process]:
    for pid in pids:
        parent = psutil.Process(pid)
        yield parent
        yield from parent.children(recursive=True)


def _cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system
