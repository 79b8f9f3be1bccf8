"""Shops in which everything is right: what the doctored ones start from. Amounts are fen."""

from __future__ import annotations

from chaos.shop_told import PaidBack, Placed, Published, Recharged, ShopTold, Stocked, Tried
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

BRAND = 1001
BUYER, ONLOOKER, SELLER = "1", "2", "9"


def shop_told() -> ShopTold:
    return ShopTold(
        stocked=[Stocked("g1", 10), Stocked("g1", 5)],
        placed=[
            Placed(BRAND, BUYER, "part", (("g1", 2),), 7000, "c1", 1500),
            Placed(BRAND, BUYER, "none", (("g1", 1),), 4000, "c2", 300),
            Placed(BRAND, BUYER, "back", (("g1", 1),), 4000, "", 500),
        ],
        left_cart={(BUYER, "g1"): True, (BUYER, "g2"): False},
        cancelled=["none"],
        paid=["part"],
        paid_back=[PaidBack("part", 1000), PaidBack("part", 2000), PaidBack("back", 4000)],
        received=["flash"],
        recharged=[
            Recharged(BRAND, BUYER, "r1", 5000),
            Recharged(BRAND, BUYER, "r3", 1000),
            Recharged(BRAND, ONLOOKER, "r2", 2000),
        ],
        recharges_paid=["r1"],
        published=[Published(BRAND, "s1", 3, 1)],
        tried=[Tried(BRAND, ONLOOKER, "s1", "a1"), Tried(BRAND, BUYER, "s1", "a2")],
        sold=["a1"],
    )


def order_services() -> OrderServices:
    """An order paid back in part, a cancelled one that was paid too late, one paid back, and one of a flash sale."""
    return OrderServices(
        shops=[Shop(BRAND, goods=[_goods()], users=[_buyer(), _onlooker(), _seller()], flash_sales=[_sale()])],
        payments=[
            Payment("p1", "order", "part"),
            Payment("p2", "order", "none"),
            Payment("p3", "order", "back"),
            Payment("p4", "wallet", "r1"),
            Payment("p5", "wallet", "r2"),
            Payment("p6", "wallet", "r3"),
            Payment("p7", "sms_package", "o1"),
            Payment("p8", "sms_package", "o2"),
        ],
        channel_payments=[
            ChannelPayment("p1", "SUCCESS", 5000, refunded_fen=3000),
            ChannelPayment("p2", "SUCCESS", 3200, refunded_fen=3200),
            ChannelPayment("p3", "SUCCESS", 3500, refunded_fen=3500),
            ChannelPayment("p4", "SUCCESS", 5000),
            ChannelPayment("p5", "SUCCESS", 2000),
            ChannelPayment("p6", "CLOSED", 1000),
            ChannelPayment("p7", "SUCCESS", 5000),
            ChannelPayment("p8", "CLOSED", 5000),
        ],
    )


def _goods() -> Goods:
    logs = [StockLog("back", -1), StockLog("none", 1), StockLog("none", -1), StockLog("part", -2)]
    return Goods("g1", 12, [*logs, StockLog("", 5), StockLog("", 10)])


def _buyer() -> User:
    return User(
        user_id=BUYER,
        balance_fen=3500,
        money_logs=[
            MoneyLog("refund", "back", 500, 3500),
            MoneyLog("pay", "back", -500, 3000),
            MoneyLog("refund", "none", 300, 3500),
            MoneyLog("pay", "none", -300, 3200),
            MoneyLog("pay", "part", -1500, 3500),
            MoneyLog("recharge", "r1", 5000, 5000),
        ],
        orders=[
            UserOrder(
                order_id="part",
                order_status="confirmed",
                pay_status="paid",
                lines=(("g1", 2),),
                order_amount_fen=7000,
                coupon_id="c1",
                money_paid_fen=1500,
                pay_amount_fen=5000,
                refunded_fen=3000,
            ),
            UserOrder(
                order_id="none",
                order_status="cancelled",
                pay_status="paying",
                lines=(("g1", 1),),
                order_amount_fen=4000,
                coupon_id="c2",
                money_paid_fen=300,
                pay_amount_fen=3200,
            ),
            UserOrder(
                order_id="back",
                order_status="refunded",
                pay_status="paid",
                lines=(("g1", 1),),
                order_amount_fen=4000,
                money_paid_fen=500,
                pay_amount_fen=3500,
                refunded_fen=4000,
            ),
            UserOrder(
                order_id="refused",
                order_status="cancelled",
                pay_status="unpaid",
                lines=(("g1", 50),),
                order_amount_fen=150_000,
                pay_amount_fen=150_000,
                is_confirmed=False,
            ),
        ],
        coupons=[Coupon("c1", is_used=True, order_id="part"), Coupon("c2", is_used=False)],
        recharges=[Recharge("r1", "paid", 5000), Recharge("r3", "expired", 1000)],
        cart=["g2"],
    )


def _onlooker() -> User:
    return User(
        user_id=ONLOOKER,
        balance_fen=1010,
        money_logs=[MoneyLog("pay", "flash", -990, 1010), MoneyLog("recharge", "r2", 2000, 2000)],
        orders=[
            UserOrder(
                order_id="flash",
                order_status="confirmed",
                pay_status="paid",
                shipping_status="received",
                lines=(("0", 1),),
                order_amount_fen=990,
                money_paid_fen=990,
                seller_id=SELLER,
            )
        ],
        recharges=[Recharge("r2", "paid", 2000)],
    )


def _seller() -> User:
    return User(user_id=SELLER, balance_fen=990, money_logs=[MoneyLog("earn", "flash", 990, 990)])


def _sale() -> FlashSale:
    return FlashSale(
        flash_sale_id="s1",
        seller_id=SELLER,
        goods_number=3,
        left_number=2,
        per_user_limit=1,
        attempts=[Attempt("a1", ONLOOKER, "sold", "flash"), Attempt("a2", BUYER, "coins_short")],
    )
