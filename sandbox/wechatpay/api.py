"""The HTTP of WeChat Pay for its merchant."""

import hashlib
import json
from collections import OrderedDict
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from aiohttp import web

from sandbox.faults import FaultBoard
from sandbox.json_http import JsonObject
from sandbox.payment.calls import Calls
from sandbox.payment.errors import PaymentError
from sandbox.payment.faults import Operation, PendingRefund, RefuseRefund
from sandbox.payment.pages import channel_now_ms
from sandbox.payment.payments import Order, Payment, PaymentBook, PaymentStatus, close
from sandbox.payment.statements import CHINA, read_day, statement_of
from sandbox.wechatpay.bill import write_bill
from sandbox.wechatpay.keys import Keys
from sandbox.wechatpay.requests import CloseRequest, NativeRequest, RefundRequest, read_request

_BILLS_KEPT_MAX = 10
_JSON = "application/json"

_CarryOut = Callable[[web.Request, bytes], JsonObject | web.Response | None]

_CODES = {
    "ORDER_NOT_FOUND": ("ORDER_NOT_EXIST", 404),
    "OUT_TRADE_NO_USED": ("OUT_TRADE_NO_USED", 403),
    "ORDER_PAID": ("INVALID_REQUEST", 400),
    "ORDER_CLOSED": ("ORDER_CLOSED", 400),
    "ORDER_NOT_PAID": ("INVALID_REQUEST", 400),
    "OUT_REFUND_NO_USED": ("INVALID_REQUEST", 400),
    "REFUND_TOO_HIGH": ("INVALID_REQUEST", 400),
    "REFUND_REFUSED": ("USER_ACCOUNT_ABNORMAL", 403),
    "STATEMENT_NOT_READY": ("INVALID_REQUEST", 400),
}
"""What WeChat Pay calls the refusals that all channels know, and its statuses."""


def refuse(error: PaymentError) -> web.Response:
    """Answer a refusal in WeChat Pay's words, unsigned."""
    code, status = _CODES.get(error.code, (error.code, error.http_status))
    return web.Response(body=_encode({"code": code, "message": error.reason}), status=status, content_type=_JSON)


class WechatPayApi:
    """Routes of the merchant, all of them signed both ways but for the file of a bill."""

    def __init__(self, keys: Keys, book: PaymentBook, board: FaultBoard, calls: Calls) -> None:
        """Take the payments and the faults."""
        self._keys = keys
        self._book = book
        self._board = board
        self._calls = calls
        self._bills: OrderedDict[str, bytes] = OrderedDict()

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        number = "/v3/pay/transactions/out-trade-no/{out_trade_no}"
        return [
            self._route("POST", "/v3/pay/transactions/native", "create", self._create),
            self._route("GET", number, "query", self._query),
            self._route("POST", f"{number}/close", "close", self._close),
            self._route("POST", "/v3/refund/domestic/refunds", "refund", self._refund),
            self._route("GET", "/v3/bill/tradebill", "statement", self._announce_bill),
            self._route("GET", "/v3/billdownload/file", "statement", self._download_bill),
        ]

    def _route(self, method: str, path: str, operation: Operation, carry_out: _CarryOut) -> web.RouteDef:
        async def handle(request: web.Request) -> web.Response:
            body = await request.read()
            self._keys.check(request.headers.get("Authorization", ""), method, request.raw_path, body)
            answer = carry_out(request, body)
            if isinstance(answer, web.Response):
                return answer
            written = b"" if answer is None else _encode(answer)
            status = 204 if answer is None else 200
            return web.Response(body=written, status=status, headers=self._keys.sign(written), content_type=_JSON)

        return web.route(method, path, self._calls.of(operation, handle))

    def _create(self, request: web.Request, body: bytes) -> JsonObject:
        asked = read_request(NativeRequest, body)
        if (asked.appid, asked.mchid) != (self._keys.app_id, self._keys.merchant_id):
            raise PaymentError("APPID_MCHID_NOT_MATCH", "appid and mchid are not of one merchant", 400)
        amount = asked.amount
        order = Order(
            asked.mchid, asked.out_trade_no, amount.total, amount.currency, asked.description, asked.notify_url
        )
        payment = self._book.create(order, str(request.url.origin()))
        return {"code_url": payment.pay_url}

    def _query(self, request: web.Request, _: bytes) -> JsonObject:
        if request.query.get("mchid") != self._keys.merchant_id:
            raise PaymentError("PARAM_ERROR", "mchid: must be the merchant's", 400)
        return describe(self._keys, self._named(request))

    def _close(self, request: web.Request, body: bytes) -> None:
        if read_request(CloseRequest, body).mchid != self._keys.merchant_id:
            raise PaymentError("PARAM_ERROR", "mchid: must be the merchant's", 400)
        payment = self._named(request)
        if payment.status is PaymentStatus.CLOSED:
            raise PaymentError("ORDER_CLOSED", "the payment is closed", 400)
        close(payment)

    def _refund(self, _: web.Request, body: bytes) -> JsonObject:
        asked = read_request(RefundRequest, body)
        merchant = self._keys.merchant_id
        if self._board.draw(RefuseRefund, merchant):
            raise PaymentError("REFUND_REFUSED", "the payer's account takes no money", 403)
        payment = self._book.by_out_trade_no(asked.out_trade_no)
        if payment.order.amount != asked.amount.total:
            raise PaymentError("PARAM_ERROR", "amount.total: is not what was paid", 400)
        at_ms = channel_now_ms(self._board, merchant)
        refund = self._book.refund(asked.out_trade_no, asked.out_refund_no, asked.amount.refund, at_ms)
        answer: JsonObject = {
            "refund_id": refund.refund_no,
            "out_refund_no": refund.out_refund_no,
            "out_trade_no": refund.out_trade_no,
            "transaction_id": payment.trade_no,
            "channel": "ORIGINAL",
            "create_time": _rfc3339(refund.refunded_at_ms),
            "amount": {"refund": refund.amount, "total": payment.order.amount, "currency": payment.order.currency},
        }
        if self._board.draw(PendingRefund, merchant):
            return {**answer, "status": "PROCESSING"}
        return {**answer, "status": "SUCCESS", "success_time": _rfc3339(refund.refunded_at_ms)}

    def _announce_bill(self, request: web.Request, _: bytes) -> JsonObject:
        """Make the bill of a day, and say where it is and what its hash is."""
        day = read_day(request.query.get("bill_date", ""))
        rows = statement_of(self._book, self._board, self._keys.merchant_id, day)
        if not rows:
            raise PaymentError("NO_STATEMENT_EXIST", "nothing happened on this day", 400)
        bill = write_bill(self._keys, rows)
        digest = hashlib.sha1(bill, usedforsecurity=False).hexdigest()
        self._bills[digest] = bill
        while len(self._bills) > _BILLS_KEPT_MAX:
            self._bills.popitem(last=False)
        url = f"{request.url.origin()}/v3/billdownload/file?token={digest}"
        return {"hash_type": "SHA1", "hash_value": digest, "download_url": url}

    def _download_bill(self, request: web.Request, _: bytes) -> web.Response:
        bill = self._bills.get(request.query.get("token", ""))
        if bill is None:
            raise PaymentError("NO_STATEMENT_EXIST", "no such bill", 400)
        return web.Response(body=bill, content_type="text/plain", charset="utf-8")

    def _named(self, request: web.Request) -> Payment:
        return self._book.by_out_trade_no(request.match_info["out_trade_no"])


def describe(keys: Keys, payment: Payment) -> JsonObject:
    """Write a transaction as queries and notifications tell it."""
    order = payment.order
    state = "REFUND" if payment.refunds else payment.status.value
    transaction: JsonObject = {
        "appid": keys.app_id,
        "mchid": keys.merchant_id,
        "out_trade_no": order.out_trade_no,
        "trade_state": state,
        "trade_state_desc": state.lower(),
        "amount": {"total": order.amount, "payer_total": order.amount, "currency": order.currency},
    }
    if not payment.paid_at_ms:
        return transaction
    return {
        **transaction,
        "transaction_id": payment.trade_no,
        "trade_type": "NATIVE",
        "bank_type": "OTHERS",
        "success_time": _rfc3339(payment.paid_at_ms),
        "payer": {"openid": "sandbox"},
    }


def _rfc3339(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms // 1000, UTC).astimezone(CHINA).isoformat()


def _encode(body: Mapping[str, object]) -> bytes:
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
