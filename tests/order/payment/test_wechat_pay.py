"""The adapter of WeChat Pay on a server that breaks the rules; on one that keeps them, all tests of channels run."""

from __future__ import annotations

import base64
import hashlib
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from order_rpc.channel_settings import WechatPaySettings
from order_rpc.payment.channels.port import (
    ChannelError,
    NoReceiptError,
    Notification,
    RefundOrder,
    RefundRefusedError,
    WrongSignatureError,
)
from order_rpc.payment.channels.wechat_bill import read_bill
from order_rpc.payment.channels.wechat_pay import WechatPay
from order_rpc.payment.comparison import MADE, PAID, Entry, EntryKind
from tests.order.payment.keys import (
    WECHAT_API_KEY,
    WECHAT_APP,
    WECHAT_MERCHANT,
    WECHAT_PLATFORM_SERIAL,
    channel_keys,
    key_pair,
)

PAY_ID = 123_456
DAY = date(2026, 3, 1)
REFUND = RefundOrder(77, PAY_ID, "T1", 500, 4_500, "r")

TRANSACTION: dict[str, Any] = {
    "appid": WECHAT_APP,
    "mchid": WECHAT_MERCHANT,
    "out_trade_no": str(PAY_ID),
    "transaction_id": "T1",
    "trade_state": "SUCCESS",
    "amount": {"total": 4_500, "currency": "CNY"},
    "success_time": "2026-03-01T10:00:00+08:00",
}
REFUNDED: dict[str, Any] = {
    "refund_id": "R1",
    "out_refund_no": "77",
    "status": "SUCCESS",
    "success_time": "2026-03-01T10:00:00+08:00",
    "amount": {"refund": 500, "total": 4_500},
}


def signed(
    body: bytes, *, key: str = "platform", serial: str = WECHAT_PLATFORM_SERIAL, at_seconds: float | None = None
) -> dict[str, str]:
    """Headers as WeChat Pay makes them."""
    private = load_pem_private_key(key_pair(key).private.encode(), None)
    assert isinstance(private, RSAPrivateKey)
    timestamp = str(int(time.time() if at_seconds is None else at_seconds))
    lines = f"{timestamp}\nabc\n".encode() + body + b"\n"
    signature = base64.b64encode(private.sign(lines, PKCS1v15(), hashes.SHA256())).decode()
    return {
        "Wechatpay-Timestamp": timestamp,
        "Wechatpay-Nonce": "abc",
        "Wechatpay-Serial": serial,
        "Wechatpay-Signature": signature,
    }


@dataclass
class Server:
    """Answers by path as it is told, and keeps what it was asked."""

    url: str = ""
    answers: dict[str, Callable[[], web.Response]] = field(default_factory=dict)
    asked: list[tuple[str, str, Mapping[str, str], bytes]] = field(default_factory=list)

    def answer(self, path: str, body: Any, status: int = 200, **signing: Any) -> None:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.answers[path] = lambda: web.Response(body=raw, status=status, headers=signed(raw, **signing))

    async def handle(self, request: web.Request) -> web.Response:
        self.asked.append((request.method, request.raw_path, dict(request.headers), await request.read()))
        return self.answers[request.path]()


@asynccontextmanager
async def running_server() -> AsyncIterator[Server]:
    server = Server()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", server.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield server
    finally:
        await runner.cleanup()


def settings(url: str = "http://127.0.0.1:1") -> WechatPaySettings:
    return WechatPaySettings.model_validate(channel_keys(url, "http://127.0.0.1:1/webhooks/payment/wechat"))


@pytest_asyncio.fixture
async def server() -> AsyncIterator[Server]:
    async with running_server() as running:
        yield running


@pytest_asyncio.fixture
async def channel(server: Server) -> AsyncIterator[WechatPay]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as session:
        yield WechatPay(session, settings(server.url))


NATIVE = "/v3/pay/transactions/native"
QUERY = f"/v3/pay/transactions/out-trade-no/{PAY_ID}"
CLOSE = f"{QUERY}/close"
REFUNDS = "/v3/refund/domestic/refunds"
BILL = "/v3/bill/tradebill"
FILE = "/v3/billdownload/file"


class TestAnswers:
    async def test_what_it_should_answer_is_taken(self, server: Server, channel: WechatPay) -> None:
        server.answer(NATIVE, {"code_url": "weixin://wxpay/bizpayurl?pr=abc"})
        opened = await channel.open(PAY_ID, 4_500, "水饺")
        assert (opened.trade_no, opened.pay_url) == ("", "weixin://wxpay/bizpayurl?pr=abc")
        (_, _, headers, body), *_ = server.asked
        assert headers["Authorization"].startswith(f'WECHATPAY2-SHA256-RSA2048 mchid="{WECHAT_MERCHANT}"')
        assert json.loads(body)["amount"] == {"total": 4_500, "currency": "CNY"}

    @pytest.mark.parametrize(
        ("body", "how"),
        [
            ({"code_url": "x"}, {"key": "somebody"}),
            ({"code_url": "x"}, {"serial": "PUB_KEY_ID_OTHER"}),
            ({"code_url": "x"}, {"at_seconds": 1_000_000}),
            ({"code_url": "x"}, {"status": 500}),
            ({"code_url": ""}, {}),
            ({"code_url": "x" * 513}, {}),
            ({"code_url": 1}, {}),
            ({}, {}),
            (b"[]", {}),
            (b"{", {}),
            (b'"' + b"x" * 70_000 + b'"', {}),
        ],
    )
    async def test_one_that_cannot_be_trusted_is_an_error(
        self, server: Server, channel: WechatPay, body: Any, how: dict[str, Any]
    ) -> None:
        server.answer(NATIVE, body, **how)
        with pytest.raises(ChannelError):
            await channel.open(PAY_ID, 4_500, "x")

    async def test_one_without_a_signature_is_an_error(self, server: Server, channel: WechatPay) -> None:
        server.answers[NATIVE] = lambda: web.json_response({"code_url": "x"})
        with pytest.raises(ChannelError, match="not signed"):
            await channel.open(PAY_ID, 4_500, "x")

    async def test_a_refusal_is_told_with_its_code(self, server: Server, channel: WechatPay) -> None:
        server.answer(NATIVE, {"code": "OUT_TRADE_NO_USED", "message": "used"}, status=403)
        with pytest.raises(ChannelError, match="OUT_TRADE_NO_USED used"):
            await channel.open(PAY_ID, 4_500, "x")

    async def test_a_redirect_is_not_followed(self, server: Server, channel: WechatPay) -> None:
        server.answers[NATIVE] = lambda: web.Response(status=307, headers={"Location": "/elsewhere"})
        with pytest.raises(ChannelError):
            await channel.open(PAY_ID, 4_500, "x")
        assert len(server.asked) == 1


class TestQueryAndClose:
    @pytest.mark.parametrize("state", ["SUCCESS", "REFUND"])
    async def test_money_that_came_is_a_receipt(self, server: Server, channel: WechatPay, state: str) -> None:
        server.answer(QUERY, TRANSACTION | {"trade_state": state})
        receipt = await channel.query(PAY_ID)
        assert receipt is not None
        assert (receipt.pay_id, receipt.trade_no, receipt.amount_fen) == (str(PAY_ID), "T1", 4_500)
        assert receipt.paid_at_ms == 1_772_330_400_000

    @pytest.mark.parametrize("state", ["NOTPAY", "CLOSED", "USERPAYING", "REVOKED", "PAYERROR"])
    async def test_no_money_is_none(self, server: Server, channel: WechatPay, state: str) -> None:
        server.answer(QUERY, TRANSACTION | {"trade_state": state})
        assert await channel.query(PAY_ID) is None

    async def test_what_is_not_there_is_not_paid_and_is_closed(self, server: Server, channel: WechatPay) -> None:
        for path in (QUERY, CLOSE):
            server.answer(path, {"code": "ORDER_NOT_EXIST"}, status=404)
        assert await channel.query(PAY_ID) is None
        assert await channel.close(PAY_ID) is None

    @pytest.mark.parametrize(
        "change",
        [
            {"out_trade_no": "1"},
            {"mchid": "other"},
            {"appid": "other"},
            {"amount": {"total": "4500"}},
            {"amount": 4_500},
            {"transaction_id": ""},
            {"success_time": "2026-03-01T10:00:00"},
            {"success_time": "today"},
        ],
    )
    async def test_a_receipt_that_is_none_is_an_error(
        self, server: Server, channel: WechatPay, change: dict[str, Any]
    ) -> None:
        server.answer(QUERY, TRANSACTION | change)
        with pytest.raises(ChannelError):
            await channel.query(PAY_ID)

    async def test_a_close_that_is_refused_asks_why(self, server: Server, channel: WechatPay) -> None:
        server.answer(CLOSE, {"code": "INVALID_REQUEST"}, status=400)
        server.answer(QUERY, TRANSACTION)
        receipt = await channel.close(PAY_ID)
        assert receipt is not None
        assert receipt.trade_no == "T1"
        server.answer(QUERY, TRANSACTION | {"trade_state": "CLOSED"})
        assert await channel.close(PAY_ID) is None
        server.answer(QUERY, TRANSACTION | {"trade_state": "USERPAYING"})
        with pytest.raises(ChannelError, match="INVALID_REQUEST"):
            await channel.close(PAY_ID)


class TestRefunds:
    async def test_one_that_is_made(self, server: Server, channel: WechatPay) -> None:
        server.answer(REFUNDS, REFUNDED)
        made = await channel.refund(REFUND)
        assert made is not None
        assert (made.refund_no, made.refunded_at_ms) == ("R1", 1_772_330_400_000)
        assert json.loads(server.asked[0][3]) == {
            "out_trade_no": str(PAY_ID),
            "out_refund_no": "77",
            "amount": {"refund": 500, "total": 4_500, "currency": "CNY"},
            "reason": "r",
        }

    async def test_one_that_is_under_way(self, server: Server, channel: WechatPay) -> None:
        server.answer(REFUNDS, REFUNDED | {"status": "PROCESSING"})
        assert await channel.refund(REFUND) is None

    @pytest.mark.parametrize("status", ["CLOSED", "ABNORMAL"])
    async def test_one_that_failed(self, server: Server, channel: WechatPay, status: str) -> None:
        server.answer(REFUNDS, REFUNDED | {"status": status})
        with pytest.raises(RefundRefusedError, match=status):
            await channel.refund(REFUND)

    async def test_one_that_is_refused_for_good(self, server: Server, channel: WechatPay) -> None:
        server.answer(REFUNDS, {"code": "INVALID_REQUEST", "message": "too old"}, status=400)
        with pytest.raises(RefundRefusedError, match="too old"):
            await channel.refund(REFUND)

    @pytest.mark.parametrize(
        ("code", "status"),
        [("NOT_ENOUGH", 403), ("FREQUENCY_LIMITED", 429), ("SYSTEM_ERROR", 500), ("SIGN_ERROR", 401)],
    )
    async def test_one_that_may_be_made_later(self, server: Server, channel: WechatPay, code: str, status: int) -> None:
        server.answer(REFUNDS, {"code": code}, status=status)
        with pytest.raises(ChannelError, match=code):
            await channel.refund(REFUND)

    @pytest.mark.parametrize(
        "change", [{"out_refund_no": "78"}, {"amount": {"refund": 501}}, {"amount": 500}, {"refund_id": ""}]
    )
    async def test_an_answer_about_another_is_an_error(
        self, server: Server, channel: WechatPay, change: dict[str, Any]
    ) -> None:
        server.answer(REFUNDS, REFUNDED | change)
        with pytest.raises(ChannelError):
            await channel.refund(REFUND)


BILL_TEXT = (
    "\ufeff商户订单号,交易状态,订单金额,商户退款单号,退款状态,申请退款金额\r\n"
    "`11,`SUCCESS,`45.00,`,`,`0.00\r\n"
    "`11,`REFUND,`0.00,`77,`SUCCESS,`5.00\r\n"
    "总交易单数,订单总金额,申请退款总金额\r\n"
    "`2,`45.00,`5.00\r\n"
)


class TestBill:
    async def test_it_is_announced_fetched_and_read(self, server: Server, channel: WechatPay) -> None:
        self._announce(server, BILL_TEXT.encode())
        assert await channel.statement(DAY) == [
            Entry(EntryKind.PAYMENT, "11", 4_500, PAID),
            Entry(EntryKind.REFUND, "77", 500, MADE),
        ]
        assert server.asked[0][1] == f"{BILL}?bill_date=2026-03-01&bill_type=ALL"

    async def test_a_day_on_which_nothing_happened_has_none(self, server: Server, channel: WechatPay) -> None:
        server.answer(BILL, {"code": "NO_STATEMENT_EXIST"}, status=400)
        assert await channel.statement(DAY) == []

    async def test_one_that_is_made_only_now_is_an_error(self, server: Server, channel: WechatPay) -> None:
        server.answer(BILL, {"code": "STATEMENT_CREATING"}, status=400)
        with pytest.raises(ChannelError, match="STATEMENT_CREATING"):
            await channel.statement(DAY)

    async def test_another_file_is_an_error(self, server: Server, channel: WechatPay) -> None:
        self._announce(server, BILL_TEXT.encode())
        server.answer(FILE, BILL_TEXT.replace("45.00", "46.00").encode())
        with pytest.raises(ChannelError, match="announced"):
            await channel.statement(DAY)

    async def test_one_of_another_server_is_not_fetched(self, server: Server, channel: WechatPay) -> None:
        for url in ("http://127.0.0.1:1/file", f"{server.url}.example/file", None):
            server.answer(BILL, {"hash_value": "x", "download_url": url})
            with pytest.raises(ChannelError, match="somebody else"):
                await channel.statement(DAY)

    def _announce(self, server: Server, bill: bytes) -> None:
        digest = hashlib.sha1(bill, usedforsecurity=False).hexdigest()
        where = {"hash_type": "SHA1", "hash_value": digest, "download_url": f"{server.url}{FILE}?token=1"}
        server.answer(BILL, where)
        server.answer(FILE, bill)

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "商户订单号,交易状态\r\n",
            BILL_TEXT.replace("`2,", "`3,"),
            BILL_TEXT.replace("总交易单数", "总"),
            BILL_TEXT.replace("`45.00,`,", "`45,`,"),
            BILL_TEXT.replace("`11,`SUCCESS", "`,`SUCCESS"),
            BILL_TEXT.replace("`11,`SUCCESS", "`11"),
            BILL_TEXT.replace("商户退款单号", "别的"),
            BILL_TEXT + "`1,`2,`3\r\n",
        ],
    )
    def test_one_that_cannot_be_read_is_an_error(self, text: str) -> None:
        with pytest.raises(ChannelError):
            read_bill(text.encode())

    def test_bytes_that_are_no_text_are_an_error(self) -> None:
        with pytest.raises(ChannelError):
            read_bill(b"\xff\xfe")


def sealed(transaction: Mapping[str, Any], *, api_key: str = WECHAT_API_KEY, **changes: Any) -> bytes:
    """The body of a notification."""
    nonce, data = "0123456789ab", "transaction"
    hidden = AESGCM(api_key.encode()).encrypt(nonce.encode(), json.dumps(transaction).encode(), data.encode())
    resource = {"ciphertext": base64.b64encode(hidden).decode(), "nonce": nonce, "associated_data": data}
    return json.dumps({"event_type": "TRANSACTION.SUCCESS", "resource": resource, **changes}).encode()


def posted(body: bytes, **signing: Any) -> Notification:
    return Notification({}, {name.lower(): value for name, value in signed(body, **signing).items()}, body)


class TestNotifications:
    async def test_a_signed_one_is_read(self, channel: WechatPay) -> None:
        receipt = channel.read_notification(posted(sealed(TRANSACTION)))
        assert (receipt.pay_id, receipt.trade_no, receipt.amount_fen) == (str(PAY_ID), "T1", 4_500)

    @pytest.mark.parametrize(
        "forge",
        [
            lambda body: posted(body, key="somebody"),
            lambda body: posted(body, serial="other"),
            lambda body: posted(body, at_seconds=time.time() - 320),
            lambda body: posted(body, at_seconds=time.time() + 320),
            lambda body: Notification({}, posted(body).headers, body + b" "),
            lambda body: Notification({}, {}, body),
            lambda body: Notification({}, {**posted(body).headers, "wechatpay-signature": "é"}, body),
            lambda body: Notification({}, {**posted(body).headers, "wechatpay-timestamp": "\u0661"}, body),
            lambda _: posted(sealed(TRANSACTION, api_key="x" * 32)),
            lambda _: posted(sealed(TRANSACTION | {"mchid": "other"})),
            lambda _: posted(sealed(TRANSACTION | {"appid": "other"})),
        ],
    )
    async def test_one_that_is_not_wechats_for_us_is_refused(
        self, channel: WechatPay, forge: Callable[[bytes], Notification]
    ) -> None:
        with pytest.raises(WrongSignatureError):
            channel.read_notification(forge(sealed(TRANSACTION)))

    @pytest.mark.parametrize(
        ("body", "name"),
        [
            (sealed(TRANSACTION, event_type="REFUND.SUCCESS"), "event_type"),
            (b"[]", "event_type"),
            (b"{", "event_type"),
            (sealed(TRANSACTION, resource=1), "resource"),
            (sealed(TRANSACTION | {"trade_state": "CLOSED"}), "trade_state"),
            (sealed(TRANSACTION | {"amount": {"total": 1.5}}), "amount"),
            (sealed(TRANSACTION | {"transaction_id": 1}), "transaction_id"),
            (sealed(TRANSACTION | {"success_time": None}), "success_time"),
        ],
    )
    async def test_one_that_tells_of_no_money_is_refused_by_field(
        self, channel: WechatPay, body: bytes, name: str
    ) -> None:
        with pytest.raises(NoReceiptError) as refusal:
            channel.read_notification(posted(body))
        assert refusal.value.field == name

    async def test_whatever_is_changed_after_signing_is_noticed(self, channel: WechatPay) -> None:
        body = sealed(TRANSACTION)
        headers = posted(body).headers

        @given(st.integers(0, len(body) - 1), st.binary(min_size=1, max_size=1))
        def changed(place: int, byte: bytes) -> None:
            other = body[:place] + byte + body[place + 1 :]
            if other != body:
                with pytest.raises(WrongSignatureError):
                    channel.read_notification(Notification({}, headers, other))

        changed()


class TestSettings:
    @pytest.mark.parametrize("name", ["app_id", "merchant_id", "merchant_key", "platform_key", "api_key", "notify_url"])
    def test_none_may_be_missing(self, name: str) -> None:
        values = channel_keys("http://127.0.0.1:1", "http://127.0.0.1:1/x")
        del values[name]
        with pytest.raises(ValidationError, match=name):
            WechatPaySettings.model_validate(values)

    async def test_keys_that_are_none_are_refused_at_the_start(self) -> None:
        values = channel_keys("http://127.0.0.1:1", "http://127.0.0.1:1/x") | {"merchant_key": "x" * 64}
        async with aiohttp.ClientSession() as session:
            with pytest.raises(ValueError, match="key"):
                WechatPay(session, WechatPaySettings.model_validate(values))
