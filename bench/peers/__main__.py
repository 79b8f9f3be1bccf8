"""`python -m bench.peers`: measure other gateways and brandmesh on the same messages, print figures and ratios."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer

from bench.engine_choice import HOME, DatabaseName, running_database
from bench.figures import Figure, show, write
from bench.http_load import LoadError
from bench.local import empty_directory
from bench.peers import jasmin, kannel, measure, ours
from bench.peers.gateway import Peer
from bench.peers.jcli import JcliError
from bench.peers.result import Results, Work, figures_of, ratios_to
from engines.engine import EngineMissingError
from engines.process import ServerFailedError

PEERS: dict[str, Peer] = {peer.name: peer for peer in (*kannel.peers(), jasmin.peer())}
WORKS = (Work(2000, 1), Work(10_000, 16), Work(10_000, 64), Work(50_000, 16, recipients=100))
_WARM_UP = Work(500, 16)
_FAILURES = (EngineMissingError, ServerFailedError, JcliError, LoadError, measure.NeverSettledError, TimeoutError)
"""What keeps a peer from being measured, each with its reason."""


def main(
    names: Annotated[list[str] | None, typer.Argument(help=f"Of {', '.join(PEERS)}; none: all")] = None,
    runs: Annotated[int, typer.Option(min=1, help="Runs of each; an odd number has a median of its own")] = 3,
    messages_max: Annotated[int, typer.Option(min=100, help="For a trial: at most so many messages a work")] = 100_000,
    database: Annotated[DatabaseName, typer.Option(help="Where brandmesh keeps its rows")] = DatabaseName.SQLITE,
    output: Annotated[Path, typer.Option(help="Where the figures go as JSON")] = HOME / "peers.json",
) -> None:
    """Measure as docs/peers.md says. A peer that this machine cannot have is named and left out."""
    unknown = sorted(set(names or ()) - set(PEERS))
    if unknown:
        raise typer.BadParameter(f"unknown: {', '.join(unknown)}; there are {', '.join(PEERS)}")
    works = [Work(min(one.messages, messages_max), one.connections, one.recipients) for one in WORKS]
    peers = [PEERS[name] for name in names or PEERS if _is_here(PEERS[name])]
    try:
        figures = asyncio.run(_measure(peers, works, runs, database))
    except (EngineMissingError, ServerFailedError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
    show(figures)
    write(figures, output, database)
    typer.echo(f"written to {output}")


def _is_here(peer: Peer) -> bool:
    """Install a peer, or say why that cannot be."""
    try:
        peer.fetch(_fetched(peer))
    except EngineMissingError as error:
        typer.echo(f"{peer.name}: left out: {error}", err=True)
        return False
    return True


async def _measure(peers: Sequence[Peer], works: Sequence[Work], runs: int, database: DatabaseName) -> list[Figure]:
    """Measure all systems in turn, and that several times: what disturbs the machine then disturbs all alike."""
    own: list[Results] = []
    by_peer: dict[str, list[Results]] = {peer.name: [] for peer in peers}
    async with running_database(database) as engine:
        for number in range(1, runs + 1):
            typer.echo(f"run {number} of {runs}: brandmesh")
            own.append(await ours.measure(engine, works))
            for name in list(by_peer):
                typer.echo(f"run {number} of {runs}: {name}")
                results = await _unless_it_fails(PEERS[name], works)
                if results is None:
                    del by_peer[name]
                else:
                    by_peer[name].append(results)
    return list(_figures(own, {PEERS[name]: results for name, results in by_peer.items()}))


async def _unless_it_fails(peer: Peer, works: Sequence[Work]) -> Results | None:
    """Measure a peer, or say why it is left out from here on."""
    try:
        return await _measure_peer(peer, works)
    except _FAILURES as error:
        typer.echo(f"{peer.name}: left out: {error}", err=True)
        return None


async def _measure_peer(peer: Peer, works: Sequence[Work]) -> Results:
    """Run a peer, warm it up, and do each work that it takes."""
    with empty_directory() as home:
        async with peer.run(_fetched(peer), home) as gateway:
            await measure.until_it_works(gateway)
            await measure.run(gateway, _WARM_UP, peer.end)
            taken = [work for work in works if work.recipients <= peer.recipients_max]
            return {work: await measure.run(gateway, work, peer.end) for work in taken}


def _figures(own: Sequence[Results], by_peer: Mapping[Peer, Sequence[Results]]) -> Iterator[Figure]:
    yield from figures_of("brandmesh", own)
    for peer, results in by_peer.items():
        yield from figures_of(peer.name, results)
    for peer, results in by_peer.items():
        yield from ratios_to(peer.name, own, results, peer.end)


def _fetched(peer: Peer) -> Path:
    return HOME.resolve() / "peers" / peer.name


if __name__ == "__main__":
    typer.run(main)
