"""What a channel says that it did on a day in China, as it is or as the faults of the moment have it."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta, timezone

from sandbox.clock import now_ms
from sandbox.faults import FaultBoard
from sandbox.payment.errors import PaymentError
from sandbox.payment.faults import StatementAmount, StatementInvents, StatementOmits, StatementStatus
from sandbox.payment.payments import PaymentBook, PaymentStatus

CHINA = timezone(timedelta(hours=8))


@dataclass(frozen=True, slots=True)
class StatementRow:
    """A payment, or a refund of one: then `out_refund_no` is its number."""

    out_trade_no: str
    trade_no: str
    pay_amount: int
    at_ms: int
    amount: int
    status: str = "SUCCESS"
    out_refund_no: str = ""
    refund_no: str = ""


def read_day(text: str) -> date:
    """Read a day that is over; PaymentError PARAM_ERROR or STATEMENT_NOT_READY."""
    try:
        day = date.fromisoformat(text)
    except ValueError as error:
        raise PaymentError("PARAM_ERROR", "date: must be YYYY-MM-DD", 400) from error
    if day >= _day_of(now_ms()):
        raise PaymentError("STATEMENT_NOT_READY", "date: is not over", 409)
    return day


def statement_of(book: PaymentBook, board: FaultBoard, merchant_id: str, day: date) -> list[StatementRow]:
    """Return the rows of a day, in the order of the payments."""
    rows = [
        _with_faults(row, board, merchant_id)
        for row in _rows(book)
        if _day_of(row.at_ms) == day and not board.draw(StatementOmits, merchant_id)
    ]
    if board.draw(StatementInvents, merchant_id):
        noon_ms = int(datetime(day.year, day.month, day.day, 12, tzinfo=CHINA).timestamp() * 1000)
        rows.append(StatementRow("404", f"{noon_ms}404", 404, noon_ms, 404))
    return rows


def _rows(book: PaymentBook) -> Iterator[StatementRow]:
    for payment in book:
        if payment.status is not PaymentStatus.SUCCESS:
            continue
        order = payment.order
        yield StatementRow(order.out_trade_no, payment.trade_no, order.amount, payment.paid_at_ms, order.amount)
        for refund in payment.refunds:
            yield StatementRow(
                order.out_trade_no,
                payment.trade_no,
                order.amount,
                refund.refunded_at_ms,
                refund.amount,
                out_refund_no=refund.out_refund_no,
                refund_no=refund.refund_no,
            )


def _with_faults(row: StatementRow, board: FaultBoard, merchant_id: str) -> StatementRow:
    if amount := board.draw(StatementAmount, merchant_id):
        row = replace(row, amount=row.amount + amount.difference)
    if board.draw(StatementStatus, merchant_id):
        row = replace(row, status="CLOSED")
    return row


def _day_of(at_ms: int) -> date:
    return datetime.fromtimestamp(at_ms / 1000, UTC).astimezone(CHINA).date()
