"""For all suites."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

import mesh  # noqa: F401  # before grpc is imported: tests start processes

# A machine that stalls for a second fails no property; `timeout` in pyproject.toml ends what hangs.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")

_CHAIN = "tests/chain/"


class Scheduling(LoadFileScheduling):  # type: ignore[misc]  # xdist has no types
    """Hands out tests by file, but the whole chain's as one: each of its meshes is a dozen processes."""

    def _split_scope(self, nodeid: str) -> str:
        return _CHAIN if nodeid.startswith(_CHAIN) else super()._split_scope(nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Scheduling:
    # The order of the files, in which the chain is first: by the number of tests, the longest would begin last.
    config.option.loadscopereorder = False
    return Scheduling(config, log)


def pytest_xdist_auto_num_workers() -> int:
    """Half as many again as there are processors: tests wait about as long as they compute."""
    return round((os.cpu_count() or 1) * 1.5)
