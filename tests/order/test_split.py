"""The services of orders in three processes in place of one: nothing but addresses and databases differs."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path

from brandmesh.order.v1 import order_pb2 as pb
from mesh.loopback import LOOPBACK, free_port
from mesh.testing import eventually
from tests.databases import empty_database
from tests.order.databases import PARTS
from tests.order.order.coins import give_coins
from tests.order.order.shop import Shop
from tests.order.running import Running, SwitchedBus, running

SHELF = ("goods", "coupon")
TILL = ("wallet", "payment")
DESK = ("order", "cart", "user", "flash_sale", "sms_package")


async def test_an_order_crosses_three_processes_and_back(tmp_path: Path) -> None:
    bus = SwitchedBus()
    addresses = {services: f"{LOOPBACK}:{free_port()}" for services in (SHELF, TILL, DESK)}
    peers = {f"peer_{service}": address for services, address in addresses.items() for service in services}
    peers = {name: address for name, address in peers.items() if name != "peer_user"}
    processes: list[Running] = []
    async with AsyncExitStack() as stack:
        for number, (services, address) in enumerate(addresses.items()):
            url = await empty_database(tmp_path, f"order_{number}", *PARTS)
            known = {name: value for name, value in peers.items() if value != address}
            process = running(tmp_path, *services, bus=bus, listen=address, database_url=url, **known)
            processes.append(await stack.enter_async_context(process))
        shelf, till, desk = processes
        shop = _shop(shelf, till, desk)
        goods, coupon = await shop.add_goods(number=5), await shop.issue_coupon()
        await give_coins(_on(till), "20.00")
        # The elsewhere of services that order_rmq has no setting for is the process of orders.
        async with desk.consuming(**{name: value for name, value in peers.items() if name != "peer_order"}):
            order = await shop.order([(goods, 2)], coupon_id=coupon.coupon_id, money_paid="20.00")
            assert (order.order_status, order.pay_amount) == (pb.ORDER_STATUS_CONFIRMED, "45.00")
            assert (await shop.stock(goods), await shop.balance()) == (3, "0.00")
            await shop.cancel(order)

            async def all_is_back() -> bool:
                assert (await shop.stock(goods), await shop.balance()) == (5, "20.00")
                return not (await shop.coupon(coupon)).is_used

            await eventually(all_is_back)


def _on(process: Running) -> Shop:
    return Shop(process)


def _shop(shelf: Running, till: Running, desk: Running) -> Shop:
    """A shop whose stubs lead to the processes that have their services."""
    shop, shelf_shop, till_shop = _on(desk), _on(shelf), _on(till)
    shop.goods, shop.coupons = shelf_shop.goods, shelf_shop.coupons
    shop.wallets, shop.payments = till_shop.wallets, till_shop.payments
    return shop
