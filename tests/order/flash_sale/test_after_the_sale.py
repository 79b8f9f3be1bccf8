"""Checklist 003, line 8: what was sold is sent, received, and paid to its seller, who can be reminded."""

from __future__ import annotations

import json

import pytest

from brandmesh.order.v1 import order_pb2
from mesh.errors import DomainError
from mesh.testing import eventually
from order_rpc.order import tables as order_tables
from tests.order.flash_sale.harness import BRAND, BUYER, OTHER_SELLER, SELLER, Market


async def sold(market: Market) -> order_pb2.Order:
    """Sell one, and wait for its order."""
    await market.fund(990, BUYER)
    attempt = await market.buy(await market.publish())
    async with market.running.consuming():
        return await market.order(await market.ended(attempt))


async def ship(market: Market, order: order_pb2.Order, seller_id: int) -> order_pb2.Order:
    request = order_pb2.ShipSaleRequest(brand_id=BRAND, user_id=str(seller_id), order_id=order.order_id)
    shipped: order_pb2.Order = (await market.call(market.orders.ShipSale, request)).order
    return shipped


async def remind(market: Market, order: order_pb2.Order) -> None:
    request = order_pb2.RemindShippingRequest(brand_id=BRAND, user_id=order.user_id, order_id=order.order_id)
    await market.call(market.orders.RemindShipping, request)


async def receive(market: Market, order: order_pb2.Order, user_id: int) -> None:
    request = order_pb2.ConfirmReceiptRequest(brand_id=BRAND, user_id=str(user_id), order_id=order.order_id)
    await market.call(market.orders.ConfirmReceipt, request)


async def test_003_08_the_seller_alone_ships_and_is_paid_once_when_the_buyer_has_it(market: Market) -> None:
    order = await sold(market)
    with pytest.raises(DomainError, match="ORDER_NOT_FOUND"):
        await ship(market, order, OTHER_SELLER)
    with pytest.raises(DomainError, match="ORDER_NOT_SHIPPED"):
        await receive(market, order, BUYER)
    await ship(market, order, SELLER)
    with pytest.raises(DomainError, match="ORDER_NOT_FOUND"):
        await receive(market, order, SELLER)
    async with market.running.consuming():
        for _ in range(3):
            await receive(market, order, BUYER)

        async def is_paid() -> bool:
            return await market.balance_fen(SELLER) > 0

        await eventually(is_paid)
    assert await market.balance_fen(SELLER) == 990
    assert await market.balance_fen(BUYER) == 0


async def test_003_08_the_seller_is_reminded_by_one_mail_and_only_until_it_is_sent(market: Market) -> None:
    order = await sold(market)
    for _ in range(3):
        await remind(market, order)
    mails = [row for row in await market.running.rows(order_tables.produced_message) if row["msg_tag"] == "reminded"]
    body = {"to": "seller@example.com", "order_id": order.order_id, "buyer": f"{BRAND}/{BUYER}"}
    assert [(row["group_name"], json.loads(row["msg_body"])) for row in mails] == [("mail", body)]
    await ship(market, order, SELLER)
    with pytest.raises(DomainError, match="ORDER_SHIPPED"):
        await remind(market, order)
