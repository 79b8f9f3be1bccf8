"""The adapter, on the sandbox and on a server that breaks the rules."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from order_rpc.payment.channels.port import ChannelError, NoReceiptError, Notification, WrongSignatureError
from order_rpc.payment.channels.sandbox_pay import SandboxPay
from tests.order.payment.channel import notification, sign
from tests.sandbox.harness import MERCHANT, PAYMENT_SECRET, Sandbox, quick_settings, running_sandbox

PAYMENT_ID = 4096
Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@pytest_asyncio.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with running_sandbox(quick_settings()) as running:
        yield running


@asynccontextmanager
async def channel_at(url: str, timeout_seconds: float = 5.0, notify_url: str = "") -> AsyncIterator[SandboxPay]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=timeout_seconds)) as session:
        yield SandboxPay(session, url=url, merchant_id=MERCHANT, secret=PAYMENT_SECRET, notify_url=notify_url)


@asynccontextmanager
async def channel_of(answer: Answer, timeout_seconds: float = 5.0) -> AsyncIterator[SandboxPay]:
    """The adapter on a server that answers like this."""
    app = web.Application()
    app.router.add_post("/{path:.*}", answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        async with channel_at(f"http://127.0.0.1:{runner.addresses[0][1]}", timeout_seconds) as channel:
            yield channel
    finally:
        await runner.cleanup()


def answering(body: bytes | dict[str, str | int], status: int = 200) -> Answer:
    async def answer(_: web.Request) -> web.Response:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        return web.Response(body=raw, status=status, content_type="application/json")

    return answer


def opened(**changes: str | int) -> dict[str, str | int]:
    fields: dict[str, str | int] = {
        "code": "SUCCESS",
        "merchantId": MERCHANT,
        "outTradeNo": str(PAYMENT_ID),
        "tradeNo": "9",
        "payUrl": "http://127.0.0.1/pay/9",
        **changes,
    }
    return {**fields, "sign": sign(fields)}


def posted(**changes: str) -> Notification:
    return Notification(notification(str(PAYMENT_ID), 4_500, "9", **changes))


class TestOnTheSandbox:
    async def test_open_and_close(self, sandbox: Sandbox) -> None:
        async with channel_at(sandbox.url + "/", notify_url="http://127.0.0.1:1/paid") as channel:
            first = await channel.open(PAYMENT_ID, 4_500, "短信 x 1")
            assert await channel.open(PAYMENT_ID, 4_500, "短信 x 1") == first
            assert first.pay_url.endswith(first.trade_no)
            for _ in range(2):
                assert await channel.close(PAYMENT_ID) is None

    async def test_closing_what_was_never_opened(self, sandbox: Sandbox) -> None:
        async with channel_at(sandbox.url) as channel:
            assert await channel.close(PAYMENT_ID) is None

    async def test_closing_what_was_paid_answers_its_receipt(self, sandbox: Sandbox) -> None:
        async with channel_at(sandbox.url) as channel:
            payment = await channel.open(PAYMENT_ID, 4_500, "短信 x 1")
            _, paid = await sandbox.post_status(f"/pay/{payment.trade_no}:pay", {})
            receipt = await channel.close(PAYMENT_ID)
        assert receipt is not None
        assert (receipt.pay_id, receipt.trade_no) == (str(PAYMENT_ID), payment.trade_no)
        assert (receipt.amount_fen, receipt.currency, receipt.paid_at_ms) == (4_500, "CNY", paid["paidAt"])

    async def test_the_channels_refusal_is_told_with_its_code(self, sandbox: Sandbox) -> None:
        async with channel_at(sandbox.url) as channel:
            await channel.open(PAYMENT_ID, 4_500, "短信 x 1")
            with pytest.raises(ChannelError, match="OUT_TRADE_NO_USED"):
                await channel.open(PAYMENT_ID, 4_501, "短信 x 1")

    async def test_a_wrong_secret_is_refused(self, sandbox: Sandbox) -> None:
        async with aiohttp.ClientSession() as session:
            channel = SandboxPay(session, url=sandbox.url, merchant_id=MERCHANT, secret="another secret")
            for call in (channel.open(PAYMENT_ID, 1, "x"), channel.close(PAYMENT_ID)):
                with pytest.raises(ChannelError, match="SIGN_ERROR"):
                    await call


class TestOnABadServer:
    async def test_what_it_should_answer_is_taken(self) -> None:
        async with channel_of(answering(opened())) as channel:
            assert (await channel.open(PAYMENT_ID, 1, "x")).trade_no == "9"

    @pytest.mark.parametrize(
        "answer",
        [
            answering(opened() | {"payUrl": "http://127.0.0.1/elsewhere"}),
            answering({**opened(), "sign": ""}),
            answering(opened(outTradeNo="4097")),
            answering(opened(merchantId="190000002")),
            answering(opened(tradeNo="")),
            answering(opened(tradeNo="9" * 65)),
            answering(opened(payUrl="")),
            answering(opened(payUrl="http://127.0.0.1/" + "9" * 512)),
            answering(opened(), status=500),
            answering(opened(code="FAIL")),
            answering(b""),
            answering(b"["),
            answering(b"[]"),
            answering(b'{"code": {"deep": 1}}'),
            answering(b'{"code": "\\ud800"}'),
            answering(b"[" * 10_000),
            answering(b'"' + b"x" * 20_000 + b'"'),
            answering(b"<html>502</html>", status=502),
        ],
    )
    async def test_an_answer_that_cannot_be_trusted_is_an_error(self, answer: Answer) -> None:
        async with channel_of(answer) as channel:
            with pytest.raises(ChannelError):
                await channel.open(PAYMENT_ID, 1, "x")

    async def test_a_redirect_is_not_followed(self) -> None:
        called = 0

        async def redirect(_: web.Request) -> web.Response:
            nonlocal called
            called += 1
            return web.Response(status=307, headers={"Location": "/elsewhere"})

        async with channel_of(redirect) as channel:
            with pytest.raises(ChannelError):
                await channel.open(PAYMENT_ID, 1, "x")
        assert called == 1

    async def test_silence_is_an_error_in_time(self) -> None:
        gate = asyncio.Event()

        async def hang(_: web.Request) -> web.Response:
            await gate.wait()
            return web.Response()

        async with channel_of(hang, timeout_seconds=0.1) as channel:
            with pytest.raises(ChannelError, match="TimeoutError"):
                await channel.open(PAYMENT_ID, 1, "x")
            gate.set()

    async def test_a_query_that_contradicts_the_close_is_an_error(self) -> None:
        async def answer(request: web.Request) -> web.Response:
            if request.path.endswith(":close"):
                return web.json_response({"code": "ORDER_PAID", "message": "paid"}, status=409)
            return web.json_response(opened(status="NOTPAY", amount=1, paidAt=0))

        async with channel_of(answer) as channel:
            with pytest.raises(ChannelError, match="status"):
                await channel.close(PAYMENT_ID)


class TestNotifications:
    @pytest_asyncio.fixture
    async def channel(self) -> AsyncIterator[SandboxPay]:
        async with channel_at("http://127.0.0.1:1") as channel:
            yield channel

    async def test_a_signed_one_is_read(self, channel: SandboxPay) -> None:
        receipt = channel.read_notification(posted(paidAt="1800000000123"))
        assert (receipt.pay_id, receipt.trade_no) == (str(PAYMENT_ID), "9")
        assert (receipt.amount_fen, receipt.currency, receipt.paid_at_ms) == (4_500, "CNY", 1_800_000_000_123)

    async def test_whatever_is_changed_after_signing_is_noticed(self, channel: SandboxPay) -> None:
        signed = posted().fields

        @given(st.sampled_from(sorted(signed)), st.text(max_size=70))
        def changed(name: str, text: str) -> None:
            if signed[name] != text:
                with pytest.raises(WrongSignatureError):
                    channel.read_notification(Notification({**signed, name: text}))

        changed()

    async def test_any_flat_fields_are_judged_without_a_defect(self, channel: SandboxPay) -> None:
        names = st.sampled_from(["merchantId", "outTradeNo", "tradeNo", "amount", "status", "paidAt", "currency", "x"])

        @given(st.dictionaries(names, st.sampled_from([MERCHANT, "SUCCESS", "1", "-1", ""]) | st.text(max_size=20)))
        def judged(fields: dict[str, str]) -> None:
            fields = {**fields, "merchantId": MERCHANT}
            told: object
            try:
                told = channel.read_notification(Notification({**fields, "sign": sign(fields)})).amount_fen
            except NoReceiptError as error:
                told = error.field
            assert told in {"status", "tradeNo", "amount", "paidAt"} or told == int(fields["amount"])

        judged()
