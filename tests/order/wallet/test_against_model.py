"""Random histories on the real wallet service and on the model: same answers, same balances, and proven wallets."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from brandmesh.messaging.v1 import messaging_pb2
from brandmesh.wallet.v1 import wallet_pb2 as pb
from mesh.batch import unpack
from mesh.errors import DomainError
from order_rpc.wallet import tables
from tests.databases import SERVER_URL
from tests.order.wallet.harness import BRAND, ENDED_AT_MS, OTHER_BRAND, SUCCEEDED, Till, debit_request, open_till
from tests.order.wallet.model import Key, Model, ModelRecharge

Value = TypeVar("Value")
Telling = tuple[messaging_pb2.Message, Callable[[], str]]
"""A message, and what the model makes of it."""

KEYS: tuple[Key, ...] = ((1, BRAND), (2, BRAND), (1, OTHER_BRAND))

keys = st.sampled_from(KEYS)
order_ids = st.integers(1, 8)
amounts = st.sampled_from([1, 2, 5, 10, 25])


class Histories(RuleBasedStateMachine):
    """Drives both. A batch is told of at once, and the model takes its parts in their order."""

    def __init__(self) -> None:
        super().__init__()
        self.exit = contextlib.ExitStack()
        self.runner = self.exit.enter_context(asyncio.Runner())
        self.directory = Path(self.exit.enter_context(tempfile.TemporaryDirectory()))
        self.parts = contextlib.AsyncExitStack()
        self.till: Till = self.run(self.parts.enter_async_context(open_till(self.directory)))
        self.model = Model()
        self.told: list[Telling] = []
        self.recharges: dict[str, pb.Recharge] = {}

    def teardown(self) -> None:
        self.run(self.parts.aclose())
        self.exit.close()

    def run(self, work: Coroutine[Any, Any, Value]) -> Value:
        return self.runner.run(work)

    def tell(self, *tellings: Telling) -> None:
        """Tell of some things, each in a call of its own, and compare what came of them."""
        for message, model_answer in tellings:
            (result,) = self.run(self.till.tell(message))
            expected = model_answer()
            told = "SUCCEEDED" if result.status == SUCCEEDED else result.remark.partition(":")[0]
            assert told == expected, message
            if expected == "SUCCEEDED":
                self.told.append((message, lambda: "SUCCEEDED"))

    # Orders.

    @initialize(funds=st.lists(st.sampled_from([0, 10, 40]), min_size=len(KEYS), max_size=len(KEYS)))
    def give_some(self, funds: list[int]) -> None:
        for place, ((user_id, brand_id), fen) in enumerate(zip(KEYS, funds, strict=True)):
            if fen:
                self.tell(self.sale((user_id, brand_id), 100 + place, fen))

    @rule(wanted=st.lists(st.tuples(keys, order_ids, amounts), min_size=1, max_size=6))
    def debit_many(self, wanted: list[tuple[Key, int, int]]) -> None:
        # Wallets take turns within a batch: which of two comes first to one order is not said.
        owners = {order_id: key for key, order_id, _ in reversed(wanted)}
        wanted = [one for one in wanted if owners[one[1]] == one[0]]
        requests = [debit_request(order, fen, user_id=key[0], brand_id=key[1]) for key, order, fen in wanted]
        results = unpack(self.run(self.till.debit_many(*requests)))
        for (key, order_id, fen), result in zip(wanted, results, strict=True):
            told = result.reason if isinstance(result, DomainError) else result.balance_fen
            assert told == self.model.debit(key, order_id, fen), (key, order_id, fen)

    @rule(order_id=order_ids)
    def cancel(self, order_id: int) -> None:
        self.tell((self.till.cancelled(order_id), lambda: self.model.cancel(order_id)))

    @rule(key=keys, order_id=order_ids, request_id=st.sampled_from("abc"), fen=amounts)
    def refund(self, key: Key, order_id: int, request_id: str, fen: int) -> None:
        message = self.till.refunded(order_id, fen, request_id, user_id=key[0], brand_id=key[1])
        self.tell((message, lambda: self.model.refund(key, order_id, request_id, fen)))

    @rule(key=keys, order_id=order_ids, fen=amounts)
    def sell(self, key: Key, order_id: int, fen: int) -> None:
        self.tell(self.sale(key, order_id, fen))

    def sale(self, key: Key, order_id: int, fen: int) -> Telling:
        message = self.till.received(order_id, fen, *key)
        return message, lambda: self.model.sell(key, order_id, fen)

    # Recharges.

    @rule(key=keys, fen=amounts)
    def recharge(self, key: Key, fen: int) -> None:
        amount = f"0.{fen:02}"
        recharge = self.run(self.till.recharge(amount, user_id=str(key[0]), brand_id=key[1]))
        self.recharges[recharge.recharge_id] = recharge
        self.model.recharges[recharge.recharge_id] = ModelRecharge(key, fen)

    @precondition(lambda self: self.recharges)
    @rule(data=st.data(), is_late=st.booleans())
    def pay(self, data: st.DataObject, is_late: bool) -> None:
        recharge_id = data.draw(st.sampled_from(sorted(self.recharges)))
        recharge = self.recharges[recharge_id]
        end_ms = recharge.expire_time.ToMilliseconds()
        paid_at_ms = end_ms if is_late else ENDED_AT_MS - 1
        message = self.till.paid(recharge, self.model.recharges[recharge_id].amount_fen, paid_at_ms)
        self.tell((message, lambda: self.model.pay(recharge_id, is_late=is_late)))

    @precondition(lambda self: self.recharges)
    @rule(data=st.data())
    def expire(self, data: st.DataObject) -> None:
        recharge_id = data.draw(st.sampled_from(sorted(self.recharges)))
        self.run(self.till.run_out(self.recharges[recharge_id]))
        self.run(self.till.expire_due())
        self.model.expire(recharge_id)

    # Messages come again, in any order and many at once.

    @precondition(lambda self: self.told)
    @rule(data=st.data())
    def tell_again(self, data: st.DataObject) -> None:
        again = data.draw(st.lists(st.sampled_from(range(len(self.told))), min_size=1, max_size=6))
        results = self.run(self.till.tell(*(self.told[place][0] for place in again)))
        assert {result.status for result in results} == {SUCCEEDED}

    @precondition(lambda self: self.told)
    @rule(data=st.data())
    def tell_the_same_by_another_message(self, data: st.DataObject) -> None:
        """What happened is told of by a message of another number: nothing happens by it again."""
        message = messaging_pb2.Message()
        message.CopyFrom(self.told[data.draw(st.sampled_from(range(len(self.told))))][0])
        message.msg_id = next(self.till.message_ids)
        (result,) = self.run(self.till.tell(message))
        assert result.status == SUCCEEDED

    # What holds after each step.

    @invariant()
    def wallets_are_those_of_the_model(self) -> None:
        rows = {(row["user_id"], row["brand_id"]): row for row in self.run(self.till.running.rows(tables.account))}
        for key, moved in self.model.moved.items():
            assert (rows[key]["user_money_fen"], rows[key]["seq"]) == (sum(moved), len(moved))
        assert rows.keys() == self.model.moved.keys()
        logs = self.run(self.till.running.rows(tables.money_log))
        for key in KEYS:
            entries = [row["use_money_fen"] for row in logs if (row["user_id"], row["brand_id"]) == key]
            assert entries == self.model.moved.get(key, [])

    @invariant()
    def recharges_are_those_of_the_model(self) -> None:
        for recharge_id, expected in self.model.recharges.items():
            seen = self.run(self.till.get_recharge(recharge_id, *expected.key))
            assert pb.RechargeStatus.Name(seen.status) == f"RECHARGE_STATUS_{expected.status}"
        written = self.run(self.till.written())
        wanted_back = {key for _, what, key, _ in written if what == "payment.refund_wanted"}
        assert wanted_back == {key for key, one in self.model.recharges.items() if one.is_paid_back}

    @invariant()
    def wallets_are_proven(self) -> None:
        self.run(self.till.is_sound())


TestHistories = Histories.TestCase
TestHistories.settings = settings(
    # Each step reads all tables back. On a server what differs is the statements, which fewer histories go through.
    max_examples=5 if SERVER_URL else 30,
    stateful_step_count=20,
    deadline=None,
    # A history takes a second or two: what failed is told as it was found.
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
