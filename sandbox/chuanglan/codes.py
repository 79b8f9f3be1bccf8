"""The answer codes of ChuangLan V1 that the sandbox gives by itself; the fault `answer_code` can give any."""

from enum import StrEnum


class Code(StrEnum):
    """Value of `code` in an answer."""

    SUCCESS = "0"
    UNKNOWN_ACCOUNT = "101"
    WRONG_PASSWORD = "102"  # noqa: S105 - the vendor's number, not a password
    TOO_FAST = "103"
    BUSY = "104"
    SENSITIVE_WORD = "105"
    MESSAGE_LENGTH = "106"
    BAD_NUMBER = "107"
    NUMBER_COUNT = "108"
    NO_CREDIT = "109"
    EXTEND = "113"
    PARAMETER_GROUPS = "114"
    SIGNATURE = "116"
    SEND_TIME = "127"
    ENCODING = "128"
    JSON = "129"
    MISSING_PARAMETER = "130"


_TEXTS: dict[str, str] = {
    Code.UNKNOWN_ACCOUNT: "用户不存在",
    Code.WRONG_PASSWORD: "密码错误",
    Code.TOO_FAST: "提交过快",
    Code.BUSY: "系统忙",
    Code.SENSITIVE_WORD: "含敏感词",
    Code.MESSAGE_LENGTH: "内容长度错误",
    Code.BAD_NUMBER: "手机号码错误",
    Code.NUMBER_COUNT: "手机号码个数错误",
    Code.NO_CREDIT: "余额不足",
    Code.EXTEND: "扩展码错误",
    Code.PARAMETER_GROUPS: "参数组个数错误",
    Code.SIGNATURE: "缺少签名或签名错误",
    Code.SEND_TIME: "定时时间格式错误",
    Code.ENCODING: "编码错误",
    Code.JSON: "JSON格式错误",
    Code.MISSING_PARAMETER: "缺少参数",
}


class RefusalError(Exception):
    """A call is answered with this code and nothing is accepted."""

    def __init__(self, code: str, detail: str = "") -> None:
        """Take a code, also one that `Code` does not list, and what it is about, such as a parameter's name."""
        text = _TEXTS.get(code, code)
        self.code = str(code)
        self.text = f"{text}: {detail}" if detail else text
        super().__init__(f"{self.code} {self.text}")
