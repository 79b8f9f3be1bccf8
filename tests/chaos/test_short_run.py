"""A short run on real processes: killed at random while the outside world misbehaves, and audited."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

import pytest

from chaos.ground import Engines
from chaos.run import Load, Run, play
from chaos.scenario import together
from chaos.scenarios import kill_any, provider
from chaos.timeline import Timeline

SEED = 4
SECONDS = 8
LOAD_MIN = Load(sends=21, shop_orders=6, flash_sold=1)


@pytest.mark.timeout(300)
async def test_every_rule_is_kept(tmp_path: Path) -> None:
    scenario = together("short", "kills and a bad outside world", kill_any.SCENARIO, provider.SCENARIO)
    run = Run(scenario, Engines.SQLITE, SEED, SECONDS, LOAD_MIN)
    result = await play(run, tmp_path, Timeline(is_loud=False))
    assert [str(breach) for breach in result.breaches] == []
    assert result.figures["messages"] > 20
    assert result.figures["shop_orders"] > 5
    assert result.figures["flash_sold"] > 0
    written = json.loads((tmp_path / f"short-sqlite-{SEED}.json").read_text())
    assert written["plan"] == [step.as_json() for step in run.steps]
    assert [event["what"] for event in written["timeline"]][-1] == "peace"
    kept = await asyncio.to_thread(os.listdir, tmp_path)
    assert kept == [f"short-sqlite-{SEED}.json"], "the state of a clean run is removed"
