"""The SMS platform: accepts messages, has their receipts written, takes uplinks. HTTP is in `api`."""

import asyncio
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field

from sandbox.chuanglan.accounts import Account, AccountBook
from sandbox.chuanglan.clock import long_seconds
from sandbox.chuanglan.codes import Code, RefusalError
from sandbox.chuanglan.duplicates import DuplicateCounter
from sandbox.chuanglan.faults import FilterGroup, ReceiptFirst
from sandbox.chuanglan.journal import Journal, Message, Submission
from sandbox.chuanglan.message_ids import message_ids
from sandbox.chuanglan.notices import NoticeDesk
from sandbox.chuanglan.parameters import Options, Parameters, parse_send, parse_variable
from sandbox.chuanglan.receipts import DELIVERED, Receipt, ReceiptWriter, wait_for_attempts
from sandbox.chuanglan.segments import billed_segments
from sandbox.chuanglan.uplinks import Uplink, split
from sandbox.clock import now_ms
from sandbox.faults import FaultBoard
from sandbox.json_http import JsonObject


@dataclass(slots=True)
class AcceptanceCounts:
    """What has been accepted since the start."""

    accepted_calls: int = 0
    accepted_messages: int = 0
    billed_segments: int = 0
    phones_per_call_max: int = 0
    filtered_groups: int = 0


@dataclass(slots=True)
class Platform:
    """The state of the SMS provider and what its calls do to it."""

    accounts: AccountBook
    journal: Journal
    duplicates: DuplicateCounter
    receipts: NoticeDesk[Receipt]
    receipt_writer: ReceiptWriter
    uplinks: NoticeDesk[Uplink]
    board: FaultBoard
    sensitive_words: Sequence[str]
    counts: AcceptanceCounts = field(default_factory=AcceptanceCounts)
    _ids: Iterator[str] = field(default_factory=message_ids)
    _uplink_references: Iterator[int] = field(default_factory=lambda: itertools.cycle(range(1, 256)))

    async def send(self, account: Account, parameters: Parameters) -> JsonObject:
        """Carry out /msg/send/json: one text to many phones."""
        call = parse_send(parameters, self.sensitive_words)
        texts = [(phone, call.text) for phone in call.phones]
        msgid = await self._accept(account, texts, call.options)
        return _accepted(msgid)

    async def send_variable(self, account: Account, parameters: Parameters) -> JsonObject:
        """Carry out /msg/variable/json: a text of its own to each phone, unusable groups filtered silently."""
        call = parse_variable(parameters, self.sensitive_words)
        texts = [each for each in call.texts if not self.board.draw(FilterGroup, account.name)]
        filtered = call.filtered + len(call.texts) - len(texts)
        if not texts:
            raise RefusalError(Code.PARAMETER_GROUPS)
        msgid = await self._accept(account, texts, call.options)
        self.counts.filtered_groups += filtered
        return {**_accepted(msgid), "successNum": str(len(texts)), "failNum": str(filtered)}

    async def balance(self, account: Account, parameters: Parameters) -> JsonObject:
        """Carry out /msg/balance/json; `code` is a number in this answer."""
        del parameters
        return {"balance": str(account.balance), "code": 0, "errorMsg": "", "time": long_seconds(now_ms())}

    async def pull_receipts(self, account: Account, parameters: Parameters) -> JsonObject:
        """Carry out /msg/pull/report; what is read is gone."""
        return {"ret": 0, "result": self.receipts.pull(account.name, parameters.pull_count())}

    async def pull_uplinks(self, account: Account, parameters: Parameters) -> JsonObject:
        """Carry out /msg/pull/mo; what is read is gone."""
        return {"ret": 0, "result": self.uplinks.pull(account.name, parameters.pull_count())}

    def take_uplink(self, uplink: Uplink, parts: int) -> list[Uplink]:
        """Take a handset's message, in as many parts as the handset sent; return the parts."""
        taken = split(uplink, parts, next(self._uplink_references))
        for part in taken:
            self.uplinks.announce(part, [0.0])
        return taken

    def stats(self) -> JsonObject:
        """Return the counts of everything but the calls."""
        return {
            **asdict(self.counts),
            **self.duplicates.stats(),
            "balances": self.accounts.balances(),
            "receipts": self.receipts.stats(),
            "uplinks": self.uplinks.stats(),
        }

    async def _accept(self, account: Account, texts: Sequence[tuple[str, str]], options: Options) -> str:
        """Charge and keep the messages, announce their receipts; refused with 109 when the balance is short."""
        segments = [billed_segments(text) for _, text in texts]
        account.charge(sum(segments))
        submission = Submission(
            next(self._ids), account.name, options.uid, options.report, now_ms(), options.send_at_ms
        )
        messages = [
            self.journal.add(submission, phone, text, billed)
            for (phone, text), billed in zip(texts, segments, strict=True)
        ]
        self._count(messages)
        if options.report:
            await self._report(submission, messages)
        return submission.msgid

    def _count(self, messages: Sequence[Message]) -> None:
        counts = self.counts
        counts.accepted_calls += 1
        counts.accepted_messages += len(messages)
        counts.billed_segments += sum(message.segments for message in messages)
        counts.phones_per_call_max = max(counts.phones_per_call_max, len(messages))
        for message in messages:
            self.duplicates.add(message.phone, message.content, message.submission.uid)

    async def _report(self, submission: Submission, messages: Sequence[Message]) -> None:
        at_once = self.board.draw(ReceiptFirst, submission.account) is not None
        wait_seconds = max(0, submission.send_at_ms - submission.accepted_at_ms) / 1000
        attempted: list[asyncio.Event] = []
        for message in messages:
            receipt = _receipt_of(message)
            event = self.receipt_writer.write(receipt, wait_seconds, at_once=at_once)
            if event is not None:
                message.receipt = receipt
                attempted.append(event)
        if at_once:
            await wait_for_attempts(attempted)


def _receipt_of(message: Message) -> Receipt:
    submission = message.submission
    return Receipt(
        submission.account,
        submission.msgid,
        message.phone,
        submission.uid,
        DELIVERED,
        message.segments,
        submission.accepted_at_ms,
    )


def _accepted(msgid: str) -> JsonObject:
    return {"code": Code.SUCCESS, "msgId": msgid, "time": long_seconds(now_ms()), "errorMsg": ""}
