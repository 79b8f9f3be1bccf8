"""Reading shops, payments and messages for the audit."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Iterable
from typing import TypeVar

import sqlalchemy as sa

from chaos.customer import Customer
from chaos.message_reading import unapplied_messages
from chaos.shop import users_of
from chaos.shop_world import (
    Attempt,
    ChannelPayment,
    Coupon,
    FlashSale,
    Goods,
    MoneyLog,
    OrderServices,
    Payment,
    Recharge,
    Shop,
    StockLog,
    User,
    UserOrder,
)
from chaos.site import Site
from mesh.database import Database
from mesh.money import to_fen
from meshctl.app import Json
from order_rpc.payment import tables as payment_tables
from order_rpc.wallet.audit_rows import audit as audit_wallets

_READS_AT_ONCE = 8
_VIOLATIONS_MAX = 20

Answer = TypeVar("Answer")


async def read_order_services(site: Site) -> OrderServices:
    """Read everything that there is to see of them."""
    payments, wallets = await _rows(site)
    return OrderServices(
        shops=[await _shop(customer) for customer in site.customers],
        payments=payments,
        channel_payments=[one async for one in _channel_payments(site)],
        wallets=wallets,
        messages=await unapplied_messages(site.mesh.grpc_addresses["order"]),
    )


async def _rows(site: Site) -> tuple[list[Payment], list[str]]:
    """Read what payments are for, and have the wallets prove themselves."""
    database = Database(site.mesh.database_url("order"))
    try:
        violations = await audit_wallets(database, _VIOLATIONS_MAX)
        table = payment_tables.payment
        async with database.read() as connection:
            rows = await connection.execute(sa.select(table.c.pay_id, table.c.business, table.c.business_id))
            payments = [Payment(str(row.pay_id), row.business, row.business_id) for row in rows]
        return payments, [str(one) for one in violations]
    finally:
        await database.close()


async def _channel_payments(site: Site) -> AsyncIterator[ChannelPayment]:
    before = 0
    while True:
        page = await site.sandbox("GET", "/admin/payments", limit="1000", before=str(before))
        for one in page["payments"]:
            refunded_fen = sum(refund["amount"] for refund in one["refunds"])
            yield ChannelPayment(one["outTradeNo"], one["status"], one["amount"], refunded_fen)
        before = page["next_before"]
        if not before:
            return


async def _shop(customer: Customer) -> Shop:
    turns = asyncio.Semaphore(_READS_AT_ONCE)

    async def in_turn(read: Awaitable[Answer]) -> Answer:
        async with turns:
            return await read

    async def all_of(reads: Iterable[Awaitable[Answer]]) -> list[Answer]:
        return await asyncio.gather(*map(in_turn, reads))

    return Shop(
        brand_id=customer.brand_id,
        goods=await all_of([_goods(customer, one) async for one in customer.pages("/goods", "goods")]),
        users=await all_of(_user(customer, user_id) for user_id in users_of(customer.brand_id)),
        flash_sales=await all_of([_sale(customer, one) async for one in customer.pages("/flashSales", "flashSales")]),
    )


async def _goods(customer: Customer, read: Json) -> Goods:
    goods_id = read["goodsId"]
    logs = [
        StockLog(one["orderId"], int(one["goodsNumber"]))
        async for one in customer.pages(f"/goods/{goods_id}/stockLogs", "stockLogs")
    ]
    return Goods(goods_id, int(read["goodsNumber"]), logs)


async def _user(customer: Customer, user_id: str) -> User:
    path = f"/users/{user_id}"
    wallet = (await customer.app.ok("GET", f"{path}/wallet"))["wallet"]
    cart = (await customer.app.ok("GET", f"{path}/cart"))["cart"]
    begun = [one.recharge_id for one in customer.told.shop.recharged if one.user_id == user_id]
    recharges = [(await customer.app.ok("GET", f"{path}/recharges/{one}"))["recharge"] for one in begun]
    return User(
        user_id=user_id,
        balance_fen=_fen(wallet["userMoney"]),
        money_logs=[_money_log(one) async for one in customer.pages(f"{path}/wallet/logs", "moneyLogs")],
        orders=[_order(one) async for one in customer.pages(f"{path}/orders", "orders")],
        coupons=[
            Coupon(one["couponId"], one["isUsed"], one["orderId"])
            async for one in customer.pages(f"{path}/coupons", "coupons")
        ],
        cart=[line["goodsId"] for line in cart["lines"]],
        recharges=[Recharge(one["rechargeId"], one["status"], _fen(one["amount"])) for one in recharges],
    )


async def _sale(customer: Customer, read: Json) -> FlashSale:
    sale_id = read["flashSaleId"]
    users = {one.user_id for one in customer.told.shop.tried if one.flash_sale_id == sale_id}
    paths = [f"/users/{user_id}/flashSales/{sale_id}/attempts" for user_id in sorted(users)]
    attempts = [one for path in paths async for one in customer.pages(path, "attempts")]
    return FlashSale(
        flash_sale_id=sale_id,
        seller_id=read["sellerId"],
        goods_number=int(read["goodsNumber"]),
        left_number=int(read["leftNumber"]),
        per_user_limit=read["perUserLimit"],
        attempts=[Attempt(one["attemptId"], one["userId"], one["status"], one["orderId"]) for one in attempts],
    )


def _order(read: Json) -> UserOrder:
    return UserOrder(
        order_id=read["orderId"],
        order_status=read["orderStatus"],
        pay_status=read["payStatus"],
        shipping_status=read["shippingStatus"],
        lines=tuple((line["goodsId"], int(line["goodsNumber"])) for line in read["lines"]),
        order_amount_fen=_fen(read["orderAmount"]),
        coupon_id=read["couponId"],
        money_paid_fen=_fen(read["moneyPaid"]),
        pay_amount_fen=_fen(read["payAmount"]),
        refunded_fen=_fen(read["refundedAmount"]),
        is_confirmed="confirmTime" in read,
        seller_id=read["sellerId"],
    )


def _money_log(read: Json) -> MoneyLog:
    return MoneyLog(read["moneyLogType"], read["orderId"], _fen(read["useMoney"]), _fen(read["userMoney"]))


def _fen(text: str) -> int:
    """Read yuan, of a debit too."""
    fen = to_fen(text.removeprefix("-"), "amount")
    return -fen if text.startswith("-") else fen
