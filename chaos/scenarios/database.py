"""The database's server stopped, killed and started again in the middle of things, and connections cut during COMMIT.

A service whose connection breaks while it commits does not know whether it has committed. Both happen here: a COMMIT
that never reaches the server, and one that does, of which the answer is lost; then the service may repeat the request
before the server has even done with the first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from random import Random

from chaos.ground import Engines, Restartable
from chaos.plan import Step, moments
from chaos.scenario import Scenario
from chaos.site import Site
from chaos.tcp_proxy import Cut, TcpProxy

_EVERY_SECONDS = 5.0
_DOWN_SECONDS = (0.0, 3.0)
_CUT_SECONDS = (2.0, 5.0)
_PROBABILITIES = (0.02, 0.1, 0.5)

_COMMITS = (
    b"\x07\x00\x00\x00\x03COMMIT",  # MySQL's protocol: 7 bytes, the first packet of a command, COM_QUERY
    b"Q\x00\x00\x00\x0cCOMMIT;\x00",  # PostgreSQL's: Query, 12 bytes
)
"""What drivers say to commit. They wait for the answers to all before, so it is a piece by itself."""


def draw(random: Random, seconds: float) -> Iterator[Step]:
    """Cut commits, then all connections, then end the server, in an order of chance; then again."""
    kinds: list[str] = []
    for at_seconds in moments(random, seconds, _EVERY_SECONDS):
        kinds = kinds or random.sample(("cut_commits", "cut_commits", "cut_all", "stop", "crash"), 5)
        match kinds.pop():
            case "cut_commits":
                yield Step(
                    at_seconds,
                    "cut_commits",
                    {
                        "seconds": round(random.uniform(*_CUT_SECONDS), 2),
                        "probability": random.choice(_PROBABILITIES),
                        "chance": random.getrandbits(32),
                    },
                )
            case "cut_all":
                yield Step(at_seconds, "cut_all", {})
            case how:
                yield Step(at_seconds, how, {"down_seconds": round(random.uniform(*_DOWN_SECONDS), 2)})


async def cut_commits(site: Site, seconds: float, probability: float, chance: int) -> None:
    """Cut connections at their COMMIT for a while, some before the server hears it, some after."""
    proxy = _proxy(site)
    async with site.lock("commits"):
        before = proxy.cuts
        proxy.judge = _judge(Random(chance), probability)  # noqa: S311  # replayable chance is the purpose
        try:
            await asyncio.sleep(seconds)
        finally:
            proxy.judge = None
        site.timeline.note(
            f"cut {proxy.cuts - before} connections in {seconds} s, at COMMIT, each {probability} likely"
        )


async def cut_all(site: Site) -> None:
    """Cut all connections to the database at once, whatever is under way on them."""
    before = _proxy(site).cuts
    _proxy(site).cut_all()
    site.timeline.note(f"cut all {_proxy(site).cuts - before} connections")


async def stop(site: Site, down_seconds: float) -> None:
    """End the server in order: it breaks off what is under way, and keeps what was committed."""
    async with site.lock("database"):
        site.timeline.note("stop the database")
        await _database(site).stop()
        await _start_again(site, down_seconds)


async def crash(site: Site, down_seconds: float) -> None:
    """End the server by SIGKILL: it recovers from its log when it starts."""
    async with site.lock("database"):
        site.timeline.note("kill the database")
        await _database(site).kill()
        await _start_again(site, down_seconds)


async def _start_again(site: Site, down_seconds: float) -> None:
    await asyncio.sleep(down_seconds)
    await _database(site).start()
    site.timeline.note("the database is back")


def is_commit(piece: bytes) -> bool:
    """Whether a driver says by this that it commits."""
    return piece in _COMMITS


def _judge(random: Random, probability: float) -> Callable[[bytes], Cut | None]:
    def judge(piece: bytes) -> Cut | None:
        if is_commit(piece) and random.random() < probability:
            return random.choice(tuple(Cut))
        return None

    return judge


def _proxy(site: Site) -> TcpProxy:
    if site.ground.proxy is None:
        raise RuntimeError("SQLite has no connections")
    return site.ground.proxy


def _database(site: Site) -> Restartable:
    if site.ground.database is None:
        raise RuntimeError("SQLite has no server")
    return site.ground.database


SCENARIO = Scenario(
    "database",
    "the database's server stopped and killed in the middle of things, connections cut during COMMIT",
    {"cut_commits": cut_commits, "cut_all": cut_all, "stop": stop, "crash": crash},
    draw,
    engines=frozenset({Engines.MARIADB, Engines.POSTGRESQL}),
)
