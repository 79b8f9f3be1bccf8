"""WeChat Pay, put together."""

import json
import secrets
from datetime import UTC, datetime
from functools import partial

from aiohttp import web

from sandbox.clock import now_ms
from sandbox.faults import Fault
from sandbox.json_http import JsonObject
from sandbox.payment.calls import Calls
from sandbox.payment.notifications import Notifier, Telling
from sandbox.payment.pages import PayerPages
from sandbox.payment.payments import PaymentBook
from sandbox.payment.statements import CHINA
from sandbox.wechatpay.api import WechatPayApi, describe, refuse
from sandbox.wechatpay.keys import Keys, read_keys
from sandbox.world import World


class WechatPay:
    """WeChat Pay as the sandbox's application sees it. Without keys it has no routes."""

    name = "wechatpay"
    # The faults of payments are those of the payment channel; `account` tells whose.
    fault_kinds: tuple[type[Fault], ...] = ()

    def __init__(self, world: World) -> None:
        """Build the channel on what every vendor shares."""
        settings, board = world.settings, world.board
        self._routes: list[web.RouteDef] = []
        self._book = PaymentBook(settings.payments_kept_max, "/wechatpay")
        keys = read_keys(settings)
        if keys is None:
            self._notifier = None
            return
        self._notifier = Notifier(
            settings,
            board=board,
            queue=world.queue,
            pusher=world.pusher,
            default_target=str,
            write=partial(write_sealed, keys),
        )
        calls = Calls(board, keys.merchant_id, refuse)
        pages = PayerPages(
            "/wechatpay", "/admin/wechatpay", book=self._book, notifier=self._notifier, board=board, calls=calls
        )
        self._routes = [*WechatPayApi(keys, self._book, board, calls).routes(), *pages.routes()]

    def routes(self) -> list[web.RouteDef]:
        """Return the channel's routes."""
        return self._routes

    def stats(self) -> JsonObject:
        """Return everything that is counted."""
        return {
            "payments": self._book.count(),
            "refunds": self._book.count_refunds(),
            "notifications": self._notifier.stats() if self._notifier else {},
        }


def write_sealed(keys: Keys, telling: Telling) -> tuple[bytes, dict[str, str]]:
    """Write a notification: what it tells is sealed, and the whole of it signed."""
    transaction = {
        **describe(keys, telling.payment),
        "out_trade_no": telling.out_trade_no,
        "amount": {"total": telling.amount, "payer_total": telling.amount, "currency": "CNY", "payer_currency": "CNY"},
    }
    nonce = secrets.token_hex(6)
    body: JsonObject = {
        "id": f"EV-{secrets.token_hex(8)}",
        "create_time": datetime.fromtimestamp(now_ms() // 1000, UTC).astimezone(CHINA).isoformat(),
        "resource_type": "encrypt-resource",
        "event_type": "TRANSACTION.SUCCESS",
        "summary": "支付成功",
        "resource": {
            "original_type": "transaction",
            "algorithm": "AEAD_AES_256_GCM",
            "ciphertext": keys.seal(json.dumps(transaction).encode(), nonce, "transaction"),
            "associated_data": "transaction",
            "nonce": nonce,
        },
    }
    written = json.dumps(body, ensure_ascii=False).encode()
    headers = keys.sign(written, wrongly=telling.is_wrongly_signed)
    return written, {"Content-Type": "application/json", **headers}
