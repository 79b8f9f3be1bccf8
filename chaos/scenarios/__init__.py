"""The scenarios there are, by name."""

from chaos.scenario import Scenario
from chaos.scenarios import kill_any, provider

SCENARIOS: dict[str, Scenario] = {scenario.name: scenario for scenario in (kill_any.SCENARIO, provider.SCENARIO)}
