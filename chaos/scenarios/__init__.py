"""The scenarios there are, by name."""

from chaos.scenario import Scenario, together
from chaos.scenarios import clocks, database, disk_full, kill_any, provider, queue, redis, rocketmq

_ALONE = (kill_any.SCENARIO, provider.SCENARIO, queue.SCENARIO, clocks.SCENARIO, disk_full.SCENARIO)
_AT_ONCE = together(
    "at-once",
    "processes killed, an outside world that misbehaves, and queues in disorder, all at once",
    *(kill_any.SCENARIO, provider.SCENARIO, queue.SCENARIO),
)

_ON_SERVERS = (database.SCENARIO, redis.SCENARIO, rocketmq.SCENARIO)

SCENARIOS: dict[str, Scenario] = {scenario.name: scenario for scenario in (*_ALONE, _AT_ONCE, *_ON_SERVERS)}
