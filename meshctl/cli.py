"""The commands of `python -m meshctl`."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Awaitable, Callable, Coroutine
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, TypeVar

import aiohttp
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from brandmesh.smspackage.v1 import sms_package_pb2
from brandmesh.smspackage.v1.sms_package_pb2_grpc import SmsPackageServiceStub
from mesh.bus.connect import connect_bus
from mesh.bus.port import DEAD_REASON_HEADER, DEAD_SUFFIX, Bus, BusUnavailableError
from mesh.channel import Peer
from mesh.errors import DomainError
from meshctl import demo, demo_im, demo_orders
from meshctl.app import App, Json
from meshctl.local import AlreadyRunningError, LocalMesh, LocalOptions, run_local
from meshctl.supervisor import ProcessFailedError

cli = typer.Typer(help="Operates brandmesh.", no_args_is_help=True, add_completion=False)
console = Console()

RedisUrl = Annotated[str, typer.Option(envvar="BRANDMESH_REDIS_URL", help="Redis or Valkey")]
BusUrl = Annotated[str, typer.Option(envvar="BRANDMESH_BUS_URL", help="Where queues live; empty: on the Redis URL")]
_REDIS_URL_DEFAULT = "redis://127.0.0.1:7100/0"
_LETTERS_SHOWN_MAX = 100
_PIPE_CHARACTERS = 1000

Answer = TypeVar("Answer")


@cli.command()
def run(
    state: Annotated[Path, typer.Option(help="Directory of databases, logs and queues")] = Path("var"),
    fixed_ports: Annotated[bool, typer.Option(help="Use the usual ports where they are free")] = True,
) -> None:
    """Run the whole mesh with the sandbox here, show what it does, and serve until Ctrl-C."""
    try:
        asyncio.run(_run(LocalOptions(state.resolve(), fixed_ports)))
    except (AlreadyRunningError, ProcessFailedError) as error:
        console.print(f"[red]{error}[/red]", highlight=False)
        raise typer.Exit(1) from None


async def _run(options: LocalOptions) -> None:
    """Serve until Ctrl-C, which counts from the first moment on."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    serving, stopping = asyncio.create_task(_serve(options)), asyncio.create_task(stop.wait())
    await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if stop.is_set():
        console.print("stopping ...")
        serving.cancel()
    try:
        await serving
    except asyncio.CancelledError:
        if not stop.is_set():
            raise


async def _serve(options: LocalOptions) -> None:
    console.print("starting brandmesh ...")
    async with run_local(options) as mesh:
        brands = await demo.prepare(mesh)
        async with aiohttp.ClientSession() as session:
            app = App(session, mesh.gateway_url, brands[0].brand_id, brands[0].api_key)
            _show_sms(await demo.send_one(app))
            _show_call(await demo_im.call_kitchen(app))
            _show_orders(await demo_orders.show(app))
        _show_addresses(mesh, brands)
        await mesh.supervisor.wait()


def _show_sms(message: Json) -> None:
    timeline = Table(title=f"SMS {message['sms']['messageId']} to {message['sms']['phone']}", title_justify="left")
    timeline.add_column("status")
    timeline.add_column("time")
    for event in message["timeline"]:
        timeline.add_row(event["status"], event["time"])
    console.print(timeline)


def _show_call(answer: Json) -> None:
    records = Table(title=f"IM call {answer['call']['callId']}: {answer['call']['event']}", title_justify="left")
    for heading in ("channel", "repeat", "status", "due", "text"):
        records.add_column(heading)
    for record in answer["records"]:
        repeat = str(record["repeatNumber"])
        due = datetime.fromisoformat(record["dueTime"]).astimezone().strftime("%H:%M:%S")
        records.add_row(record["channel"], repeat, record["status"], due, escape(record["text"]))
    console.print(records)


def _show_orders(shown: demo_orders.Shown) -> None:
    order = shown.order["order"]
    title = f"Order {order['orderId']}: {order['orderAmount']} yuan, {order['moneyPaid']} of them coins"
    steps = Table(title=title, title_justify="left")
    for heading in ("step", "time"):
        steps.add_column(heading)
    for event in shown.order["events"]:
        steps.add_row(event["event"], event["eventTime"])
    console.print(steps)
    sale, attempt = shown.flash_sale, shown.flash_attempt
    sales = Table(title=f"Flash sale {sale['flashSaleId']}: {sale['goodsName']}", title_justify="left")
    for heading in ("price", "left", "attempt", "order"):
        sales.add_column(heading)
    sales.add_row(sale["price"], str(sale["leftNumber"]), attempt["status"], attempt["orderId"])
    console.print(sales)


def _show_addresses(mesh: LocalMesh, brands: list[demo.DemoBrand]) -> None:
    for name, value in {
        "gateway": mesh.gateway_url,
        "documentation": f"{mesh.gateway_url}/docs",
        "sandbox": mesh.sandbox_url,
        "devices' screens": f"{mesh.sandbox_url}/txim",
        **{f"grpc {name}": address for name, address in mesh.grpc_addresses.items()},
        **{f"key of brand {brand.brand_id}": brand.api_key for brand in brands},
        "all of this": str(mesh.options.state_directory / "demo.json"),
        "logs": str(mesh.supervisor.log_directory),
    }.items():
        # Plain lines: a table would cut keys to the width of the terminal.
        console.print(f"{name:<20} {value}", soft_wrap=True, highlight=False, markup=False)
    console.print("serving; Ctrl-C stops")


@cli.command("open-brand")
def open_brand(
    brand_id: Annotated[int, typer.Argument(min=1, help="The brand")],
    costcenter: Annotated[str, typer.Option(help="Address of costcenter_rpc")] = "127.0.0.1:7101",
    sms: Annotated[str, typer.Option(help="Address of sms_rpc")] = "127.0.0.1:7102",
    credit: Annotated[int, typer.Option(min=0, help="Credits of a first package, granted once")] = 0,
    international: Annotated[bool, typer.Option(help="May send outside mainland China")] = False,
) -> None:
    """Make a brand known to the cost center and the SMS service."""

    async def open_it() -> None:
        cost_peer, sms_peer = Peer("costcenter_rpc", costcenter), Peer("sms_rpc", sms)
        try:
            await demo.open_brand(cost_peer, sms_peer, brand_id, credit=credit, international=international)
        finally:
            await cost_peer.close()
            await sms_peer.close()

    _or_exit(open_it())
    typer.echo(f"brand {brand_id} is open; `python -m gateway.keys create --brands {brand_id} ...` makes its key")


@cli.command("put-package")
def put_package(  # noqa: PLR0917  # a command's options
    package_id: Annotated[str, typer.Argument(help="Its id, for example sms-1000")],
    title: Annotated[str, typer.Option(help="What it is called")],
    credit: Annotated[int, typer.Option(min=1, help="SMS credits in it")],
    price_fen: Annotated[int, typer.Option(min=1, help="Price in fen")],
    valid_days: Annotated[int, typer.Option(min=1, help="Days in which its credits can be used")] = 365,
    order: Annotated[str, typer.Option(help="Address of order_rpc")] = "127.0.0.1:7103",
) -> None:
    """Put a package into the catalogue, or change it for later orders."""
    request = sms_package_pb2.PutPackageRequest(
        package_id=package_id, title=title, credits=credit, price_fen=price_fen, valid_days=valid_days
    )

    async def put() -> None:
        peer = Peer("order_rpc", order)
        try:
            await peer.call(SmsPackageServiceStub(peer.channel).PutPackage, request)
        finally:
            await peer.close()

    _or_exit(put())
    typer.echo(f"package {package_id} is in the catalogue")


@cli.command()
def queues(prefix: str = "", redis_url: RedisUrl = _REDIS_URL_DEFAULT, bus_url: BusUrl = "") -> None:
    """Show how full the queues are, dead letters included."""

    async def show(bus: Bus) -> Table:
        table = _table("queue", "ready", "in flight", "delayed", "oldest (s)")
        for queue in await bus.queues(prefix):
            depth = await bus.depth(queue)
            counts = (depth.ready, depth.in_flight, depth.delayed)
            table.add_row(queue, *map(str, counts), f"{depth.oldest_age_seconds:.1f}")
        return table

    _print(_with_bus(show, redis_url, bus_url))


@cli.command("dead-letters")
def dead_letters(
    queue: Annotated[str, typer.Argument(help="The queue, without .dead")],
    requeue: Annotated[int, typer.Option(min=0, help="Put up to so many back on the queue")] = 0,
    redis_url: RedisUrl = _REDIS_URL_DEFAULT,
    bus_url: BusUrl = "",
) -> None:
    """Show the dead letters of a queue, or put them back on it."""

    async def show(bus: Bus) -> Table | str:
        name = queue.removesuffix(DEAD_SUFFIX)
        if requeue:
            return f"{await bus.requeue_dead(name, requeue)} put back"
        table = _table("id", "published", "reason", "body")
        for letter in await bus.list_dead(name, _LETTERS_SHOWN_MAX):
            published = datetime.fromtimestamp(letter.published_at_ms / 1000, UTC).isoformat(timespec="seconds")
            reason = letter.headers.get(DEAD_REASON_HEADER, "")
            table.add_row(letter.message_id, published, escape(reason), escape(letter.body.decode(errors="replace")))
        return table

    _print(_with_bus(show, redis_url, bus_url))


def _with_bus(use: Callable[[Bus], Awaitable[Answer]], redis_url: str, bus_url: str) -> Answer:
    async def run_it() -> Answer:
        bus = connect_bus(bus_url, redis_url, consumer="meshctl")
        try:
            return await use(bus)
        finally:
            await bus.close()

    return _or_exit(run_it())


def _or_exit(work: Coroutine[None, None, Answer]) -> Answer:
    """Do the work; what a person can mend is said in one line."""
    try:
        return asyncio.run(work)
    except (DomainError, BusUnavailableError, ValueError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None


def _table(*headings: str) -> Table:
    table = Table()
    for heading in headings:
        table.add_column(heading, no_wrap=True)
    return table


def _print(shown: Table | str) -> None:
    """Print; into a file or a pipe nothing is cut to the width of a terminal."""
    Console(width=None if sys.stdout.isatty() else _PIPE_CHARACTERS).print(shown)
