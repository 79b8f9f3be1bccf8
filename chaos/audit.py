"""The rules that hold whatever was done to a mesh, once it was healed and has settled.

Each rule is a function from the world to the breaches of it, a line each. Nothing here asks a server: the tests hand in
worlds that were doctored.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from chaos.payment_audit import PAYMENT_RULES
from chaos.shop_audit import SHOP_RULES
from chaos.world import Brand, Message, Submission, World

BREACHES_MAX = 20
"""Lines told of one rule."""

DELIVERED = "DELIVRD"

_FINAL = frozenset({"delivered", "failed", "cancelled", "blocked", "unconfirmed"})
_IM_FINAL = frozenset({"sent", "skipped", "failed", "cancelled", "unknown"})
_WAITING = frozenset({"submitted", "unknown"})
"""Waits for a receipt: 72 hours, where none comes."""
_NEVER_SENT = frozenset({"cancelled", "blocked"})
_TOO_OLD = frozenset({"EXPIRED", "IM_EXPIRED"})
_SENT_ONCE = frozenset({"delivered", "submitted", "unconfirmed"})


@dataclass(frozen=True, slots=True)
class Breach:
    """A rule that does not hold, and of what."""

    rule: str
    what: str

    def __str__(self) -> str:
        return f"{self.rule}: {self.what}"


def audit(world: World) -> list[Breach]:
    """Answer what breaks a rule: nothing, where every invariant holds."""
    return [Breach(name, what) for name, rule in RULES.items() for what in _at_most(list(rule(world)))]


def _at_most(lines: Sequence[str]) -> Sequence[str]:
    if len(lines) <= BREACHES_MAX:
        return lines
    return [*lines[:BREACHES_MAX], f"and {len(lines) - BREACHES_MAX} more"]


def _ledger_is_sound(world: World) -> Iterator[str]:
    yield from world.ledger


def _acknowledged_is_kept(world: World) -> Iterator[str]:
    """Each send that was acknowledged is in the records, whole; each of its messages under the id that was told."""
    tasks: dict[str, Counter[str]] = defaultdict(Counter)
    for brand in world.brands:
        for message in brand.messages:
            tasks[message.task_id][message.message_id] += 1
    for sent in world.told.sends:
        kept = tasks[sent.task_id]
        if kept.total() != sent.accepted_count:
            yield f"send {sent.request_id}: {sent.accepted_count} messages were accepted, {kept.total()} are kept"
        for message_id in sent.message_ids:
            if kept[message_id] != 1:
                yield f"send {sent.request_id}: message {message_id} is kept {kept[message_id]} times"


def _stored_once(world: World) -> Iterator[str]:
    """A repeated request makes no second message: in a run each phone is written to once."""
    times = Counter(message.phone for brand in world.brands for message in brand.messages)
    yield from (f"{phone} has {count} messages" for phone, count in times.items() if count > 1)


def _sent_once(world: World) -> Iterator[str]:
    times = Counter(submission.phone for submission in world.submissions)
    yield from (f"the provider took {count} messages to {phone}" for phone, count in times.items() if count > 1)


def _records_tell_the_truth(world: World) -> Iterator[str]:
    """Each message is in a last status that fits what the provider has, or waits for what cannot come."""
    submissions = {submission.phone: submission for submission in world.submissions}
    for brand in world.brands:
        for message in brand.messages:
            if _waits_rightly(world, message):
                continue
            if problem := _untrue(message, submissions.get(message.phone)):
                yield f"brand {brand.brand_id}, message {message.message_id} is {message.status}: {problem}"


def _waits_rightly(world: World, message: Message) -> bool:
    """Whether its receipt is one of those that a fault took from the mesh: it waits as if none had come."""
    return message.status in _WAITING and message.phone in world.lost_receipts


def _untrue(message: Message, taken: Submission | None) -> str:
    """Say what is wrong with a message's status, given what the provider has of it; nothing: empty."""
    receipt = taken.receipt if taken else ""
    problems = {
        "nobody moves it on": message.status not in _FINAL | _WAITING,
        f"its receipt is {receipt}": message.status in _WAITING and receipt,
        "the provider does not have it": message.status in _SENT_ONCE and taken is None,
        "the provider has it": message.status in _NEVER_SENT and taken is not None,
        "nobody said so": message.status == "delivered" and receipt != DELIVERED,
        f"it was delivered ({message.failure_reason})": message.status == "failed" and receipt == DELIVERED,
    }
    return "; ".join(problem for problem, is_so in problems.items() if is_so)


def _submissions_are_known(world: World) -> Iterator[str]:
    """What the provider took is a message of ours that was charged, with the segments that it was charged for."""
    messages = {message.phone: message for brand in world.brands for message in brand.messages}
    for taken in world.submissions:
        message = messages.get(taken.phone)
        if message is None:
            yield f"the provider took a message to {taken.phone} that is in no record"
        elif not message.payment_id:
            yield f"message {message.message_id} was sent and never charged"
        elif message.segments != taken.segments:
            yield f"message {message.message_id} was charged {message.segments}, the provider counts {taken.segments}"


def _charged_once(world: World) -> Iterator[str]:
    """What is spent is what was charged for messages that did not fail (docs/adr/0007), over all and by entry."""
    for brand in world.brands:
        spent = brand.account.spent - brand.before.spent
        due = sum(message.segments for message in _charged(brand) if message.status != "failed")
        if spent != due:
            yield f"brand {brand.brand_id}: {spent} credits are spent, its messages cost {due}"
        yield from _unequal_entries(brand, "charged", 1, sum(message.segments for message in _charged(brand)))
        failed = sum(message.segments for message in _charged(brand) if message.status == "failed")
        yield from _unequal_entries(brand, "refunded", -1, failed)


def _charged(brand: Brand) -> Iterator[Message]:
    return (message for message in brand.messages if message.payment_id)


def _unequal_entries(brand: Brand, word: str, sign: int, due: int) -> Iterator[str]:
    found = sum(max(0, sign * entry.spent) for entry in brand.entries)
    if found != due:
        yield f"brand {brand.brand_id}: its entries say {found} {word}, its messages {due}"


def _frozen_once(world: World) -> Iterator[str]:
    """Each acknowledged send has one freeze, of as many credits as it was told."""
    freezes: dict[tuple[int, str], list[int]] = defaultdict(list)
    for brand in world.brands:
        for entry in brand.entries:
            if entry.kind == "freeze":
                freezes[brand.brand_id, entry.request_id].append(entry.frozen)
    for sent in world.told.sends:
        found = freezes[sent.brand_id, f"sms/{sent.request_id}"]
        if found != [sent.frozen]:
            yield f"send {sent.request_id} was told of {sent.frozen} frozen credits, its freezes are {found}"


def _nothing_stays_frozen(world: World) -> Iterator[str]:
    """A reservation ends with what it was made for."""
    for brand in world.brands:
        if brand.account.frozen:
            yield f"brand {brand.brand_id}: {brand.account.frozen} credits are still frozen"


def _cancels_hold(world: World) -> Iterator[str]:
    status = {message.message_id: message.status for brand in world.brands for message in brand.messages}
    cancelled = Counter(
        message.task_id for brand in world.brands for message in brand.messages if message.status == "cancelled"
    )
    for one in world.told.cancelled_sms:
        if status.get(one.message_id) != "cancelled":
            yield f"message {one.message_id} was cancelled and is {status.get(one.message_id)}"
    for task in world.told.cancelled_tasks:
        if cancelled[task.task_id] != task.cancelled_count:
            yield f"task {task.task_id}: {task.cancelled_count} were cancelled, {cancelled[task.task_id]} are"


def _calls_are_heard_once(world: World) -> Iterator[str]:
    """Each record that was sent is heard once, what is not known once at most, and nothing else is heard."""
    names = {call.call_id: call.name for call in world.told.calls}
    sent: Counter[tuple[str, str]] = Counter()
    unknown: Counter[tuple[str, str]] = Counter()
    for record in (record for brand in world.brands for record in brand.im_records):
        key = (record.account, f"[{names[record.call_id]}]")
        sent[key] += record.status == "sent"
        unknown[key] += record.status == "unknown"
        if record.status not in _IM_FINAL:
            yield f"a record of call {record.call_id} to {record.account} is {record.status}: nobody moves it on"
    heard = Counter((message.account, message.text) for message in world.heard)
    for key in sent.keys() | heard.keys():
        if not sent[key] <= heard[key] <= sent[key] + unknown[key]:
            yield f"{key[0]} heard {key[1]} {heard[key]} times; {sent[key]} are sent, {unknown[key]} unknown"


def _calls_are_kept(world: World) -> Iterator[str]:
    kept = {record.call_id for brand in world.brands for record in brand.im_records}
    yield from (f"call {call.name} ({call.call_id}) is lost" for call in world.told.calls if call.call_id not in kept)


def _nothing_is_too_old(world: World) -> Iterator[str]:
    """A run is shorter than the useful life of anything, so what was given up for its age was misjudged."""
    for brand in world.brands:
        for message in brand.messages:
            if message.failure_reason in _TOO_OLD:
                yield f"message {message.message_id} was given up as {message.failure_reason}"
        for record in brand.im_records:
            if record.reason in _TOO_OLD and record.status != "sent":
                yield f"a record of call {record.call_id} is {record.status} as {record.reason}"


def _purchases_are_granted_once(world: World) -> Iterator[str]:
    """A paid order is fulfilled, an unpaid one is not, and what was granted is what was bought."""
    orders = {order.order_id: order for brand in world.brands for order in brand.orders}
    for told in world.told.orders:
        status = orders[told.order_id].status if told.order_id in orders else "lost"
        wanted = {"fulfilled"} if told.is_paid else {"cancelled"}
        if status not in (wanted | {"cancelled"} if told.is_late else wanted):
            yield f"order {told.order_id} is {status}, not {' or '.join(wanted)}"
    for brand in world.brands:
        fulfilled = {order.order_id for order in brand.orders if order.status == "fulfilled"}
        bought = sum(one.credits for one in world.told.orders if one.is_paid and one.order_id in fulfilled)
        granted = brand.account.granted - brand.before.granted
        if granted != bought:
            yield f"brand {brand.brand_id}: {granted} credits were granted, {bought} bought"
        lots = Counter(order.lot_id for order in brand.orders if order.lot_id)
        yield from (f"{count} orders share package {lot}" for lot, count in lots.items() if count > 1)


def _nothing_waits(world: World) -> Iterator[str]:
    yield from (f"{count} in {name}" for name, count in world.waiting.items() if count)


def _no_dead_letters(world: World) -> Iterator[str]:
    yield from (f"{count} in {name}" for name, count in world.dead.items() if count)


def _nobody_died(world: World) -> Iterator[str]:
    yield from (f"{name} ended by itself with code {code}" for name, code in world.died.items())


def _no_errors(world: World) -> Iterator[str]:
    yield from world.errors


def _apps_were_answered(world: World) -> Iterator[str]:
    yield from (f"refused: {line}" for line in world.told.refusals)
    yield from (f"no definite answer: {line}" for line in world.told.unanswered)


RULES: Mapping[str, Callable[[World], Iterator[str]]] = {
    "the ledger is sound": _ledger_is_sound,
    "an acknowledged send is kept": _acknowledged_is_kept,
    "a request makes its messages once": _stored_once,
    "a message is sent once": _sent_once,
    "a record tells the truth": _records_tell_the_truth,
    "what was sent was charged": _submissions_are_known,
    "a message is charged once, and refunded when it failed": _charged_once,
    "a send is frozen once": _frozen_once,
    "no reservation is left": _nothing_stays_frozen,
    "a cancel holds": _cancels_hold,
    "an acknowledged call is kept": _calls_are_kept,
    "a call is heard once": _calls_are_heard_once,
    "nothing is given up as too old": _nothing_is_too_old,
    "a purchase is granted once": _purchases_are_granted_once,
    **SHOP_RULES,
    **PAYMENT_RULES,
    "queues are empty": _nothing_waits,
    "nothing is a dead letter": _no_dead_letters,
    "no process died by itself": _nobody_died,
    "no error is logged": _no_errors,
    "apps get definite answers": _apps_were_answered,
}

LASTING = frozenset(
    {
        "a request makes its messages once",
        "a message is sent once",
        "nothing is given up as too old",
        "no process died by itself",
        "no error is logged",
        "apps get definite answers",
    }
)
"""Rules that time cannot mend: once broken, they stay so."""
