"""Faults on a real mesh: real processes and real servers, harmed at moments that a seed draws, audited afterwards.

A run (`chaos.run.play`) starts servers (`chaos.ground`), the mesh on them and its apps (`chaos.site`), and a load
(`chaos.load`) that repeats each request under its id until the answer is definite (`chaos.customer`). Meanwhile the
scenario's faults strike. Then everything is healed (`Site.heal`), and the world is read (`chaos.reading`) and judged
(`chaos.audit`) until every rule holds, or the time to settle is over. Plan, timeline and figures go to
var/chaos/SCENARIO-ENGINES-SEED.json; the state of a run that broke a rule stays beside it, with the logs.

To write a scenario, make chaos/scenarios/NAME.py with a `SCENARIO` and add it to chaos/scenarios/__init__.py:

    async def stop_database(site: Site, seconds: float) -> None:
        database = site.ground.database
        assert database is not None
        async with site.lock("database"):
            site.timeline.note("stop the database")
            await database.stop()
            await asyncio.sleep(seconds)
            await database.start()

    def draw(random: Random, seconds: float) -> Iterator[Step]:
        for at_seconds in moments(random, seconds, every_seconds=10):
            yield Step(at_seconds, "stop", {"seconds": random.randint(1, 5)})

    SCENARIO = Scenario("database", "...", {"stop": stop_database}, draw, engines=frozenset({Engines.MARIADB}))

- `draw` asks nothing but its generator; the same seed must give the same steps. Settings that processes need besides
  come from `Scenario.settings(random)`, by process name; `Scenario.missing()` says why this machine cannot play it.
- A fault is `await fault(site, **arguments)`. It harms, waits, and puts right again before it returns. Steps strike at
  their times whether or not an earlier one is over, so hold `site.lock(name)` where two must not meet.
- `site.ground` has `redis`, `database` (`Restartable`: `kill`, `stop`, `start` at the same address with the same data),
  `proxy` (a `TcpProxy` between the mesh and the database's server: `judge` decides before or after which piece of a
  client's a connection is cut, `cut_all` cuts now), `rocketmq`. What the chosen engines lack is None.
- `site.kill(process, down_seconds)`, `site.pid(process)`, `site.sandbox(...)`, `site.outside_fault(kind, **fields)` do
  what their names say; `site.timeline.note` writes down what is done.
- `Site.heal` puts right what a fault may leave; extend it where a new kind of harm can outlive its fault.
- `Scenario.expected_errors` names events of level error that are right for these faults; write the reason beside each.
- An invariant that does not hold is a defect of the mesh, or of a rule in `chaos.audit`; rules know no scenario.
"""
