"""The HTTP of the payment channel for merchants."""

import csv
import hashlib
import hmac
import io

from aiohttp import web

from sandbox.faults import FaultBoard
from sandbox.json_http import JsonObject, json_response
from sandbox.payment.calls import Calls
from sandbox.payment.errors import PaymentError
from sandbox.payment.faults import PendingRefund, RefuseRefund
from sandbox.payment.pages import channel_now_ms, describe
from sandbox.payment.payments import Order, Payment, PaymentBook, close
from sandbox.payment.requests import CreateRequest, RefundRequest, SignedRequest, StatementRequest, read_request
from sandbox.payment.signature import sign
from sandbox.payment.statements import read_day, statement_of
from sandbox.settings import Settings


class PaymentApi:
    """Routes of merchants."""

    def __init__(self, settings: Settings, book: PaymentBook, board: FaultBoard, calls: Calls) -> None:
        """Take the payments and the faults."""
        self._settings = settings
        self._book = book
        self._board = board
        self._calls = calls

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        number = "{out_trade_no:[^/:]+}"
        of = self._calls.of
        return [
            web.post("/pay/v1/payments", of("create", self._create)),
            web.post(f"/pay/v1/payments/{number}:query", of("query", self._query)),
            web.post(f"/pay/v1/payments/{number}:close", of("close", self._close)),
            web.post("/pay/v1/refunds", of("refund", self._refund)),
            web.post("/pay/v1/statements", of("statement", self._state_day)),
        ]

    async def _create(self, request: web.Request) -> web.Response:
        asked = read_request(CreateRequest, await request.read(), self._settings)
        order = Order(
            asked.merchant_id, asked.out_trade_no, asked.amount, asked.currency, asked.subject, asked.notify_url
        )
        payment = self._book.create(order, str(request.url.origin()))
        return self._signed({"tradeNo": payment.trade_no, "payUrl": payment.pay_url}, payment)

    async def _query(self, request: web.Request) -> web.Response:
        payment = await self._named_payment(request)
        return self._signed(describe(payment), payment)

    async def _close(self, request: web.Request) -> web.Response:
        payment = await self._named_payment(request)
        close(payment)
        return self._signed(describe(payment), payment)

    async def _refund(self, request: web.Request) -> web.Response:
        asked = read_request(RefundRequest, await request.read(), self._settings)
        if self._board.draw(RefuseRefund, asked.merchant_id):
            raise PaymentError("REFUND_REFUSED", "the payer's account takes no money", 409)
        at_ms = channel_now_ms(self._board, asked.merchant_id)
        refund = self._book.refund(asked.out_trade_no, asked.out_refund_no, asked.amount, at_ms)
        if self._board.draw(PendingRefund, asked.merchant_id):
            raise PaymentError("REFUND_UNDER_WAY", "the refund is under way; ask again", 409)
        payment = self._book.by_out_trade_no(asked.out_trade_no)
        body: JsonObject = {
            "outRefundNo": refund.out_refund_no,
            "refundNo": refund.refund_no,
            "amount": refund.amount,
            "refundedAt": refund.refunded_at_ms,
        }
        return self._signed(body, payment)

    async def _state_day(self, request: web.Request) -> web.Response:
        """Answer a day's payments and refunds as CSV, signed as a whole."""
        asked = read_request(StatementRequest, await request.read(), self._settings)
        written = io.StringIO()
        rows = csv.writer(written, lineterminator="\n")
        rows.writerow(["kind", "number", "amount", "status"])
        for row in statement_of(self._book, self._board, asked.merchant_id, read_day(asked.date)):
            kind, number = ("refund", row.out_refund_no) if row.out_refund_no else ("payment", row.out_trade_no)
            rows.writerow([kind, number, row.amount, row.status])
        body = written.getvalue().encode()
        signature = hmac.new(
            self._settings.payment_secret.get_secret_value().encode(), body, hashlib.sha256
        ).hexdigest()
        return web.Response(body=body, content_type="text/csv", headers={"Statement-Sign": signature})

    async def _named_payment(self, request: web.Request) -> Payment:
        """Find the payment that path and signed body agree on."""
        asked = read_request(SignedRequest, await request.read(), self._settings)
        if asked.out_trade_no != request.match_info["out_trade_no"]:
            raise PaymentError("PARAM_ERROR", "outTradeNo: must be the one in the path", 400)
        return self._book.by_out_trade_no(asked.out_trade_no)

    def _signed(self, body: JsonObject, payment: Payment) -> web.Response:
        order = payment.order
        answer = {"code": "SUCCESS", "merchantId": order.merchant_id, "outTradeNo": order.out_trade_no, **body}
        secret = self._settings.payment_secret.get_secret_value()
        return json_response({**answer, "sign": sign(secret, answer)})
