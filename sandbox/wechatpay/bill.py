"""A day's bill as WeChat Pay writes it: CSV with Chinese names, each value marked as text, and a summary at its end."""

from collections.abc import Sequence
from datetime import UTC, datetime

from sandbox.payment.statements import CHINA, StatementRow
from sandbox.wechatpay.keys import Keys

_COLUMNS = (
    "交易时间", "公众账号ID", "商户号", "微信订单号", "商户订单号", "交易类型", "交易状态", "货币种类", "应结订单金额",
    "微信退款单号", "商户退款单号", "退款金额", "退款状态", "商品名称", "手续费", "订单金额", "申请退款金额",
)  # fmt: skip
_SUMMARY = ("总交易单数", "订单总金额", "申请退款总金额")


def write_bill(keys: Keys, rows: Sequence[StatementRow]) -> bytes:
    """Write the rows of a day."""
    paid = sum(row.amount for row in rows if not row.out_refund_no)
    refunded = sum(row.amount for row in rows if row.out_refund_no)
    lines = [",".join(_COLUMNS), *(_line(_values(keys, row)) for row in rows)]
    lines += [",".join(_SUMMARY), _line((str(len(rows)), _yuan(paid), _yuan(refunded)))]
    return ("\ufeff" + "\r\n".join(lines) + "\r\n").encode()


def _values(keys: Keys, row: StatementRow) -> Sequence[str]:
    at = datetime.fromtimestamp(row.at_ms / 1000, UTC).astimezone(CHINA).strftime("%Y-%m-%d %H:%M:%S")
    is_refund = bool(row.out_refund_no)
    back = _yuan(row.amount if is_refund else 0)
    amount = _yuan(0 if is_refund else row.amount)
    return (
        at, keys.app_id, keys.merchant_id, row.trade_no, row.out_trade_no, "NATIVE",
        "REFUND" if is_refund else row.status, "CNY", amount, row.refund_no, row.out_refund_no, back,
        row.status if is_refund else "", "sandbox", "0.00000", amount, back,
    )  # fmt: skip


def _line(values: Sequence[str]) -> str:
    return ",".join(f"`{value}" for value in values)


def _yuan(fen: int) -> str:
    return f"{fen // 100}.{fen % 100:02}"
