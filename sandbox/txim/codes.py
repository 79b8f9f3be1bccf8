"""The ErrorCodes of Tencent Cloud IM that the sandbox gives by itself; the fault `txim_error` can give any."""

from enum import IntEnum

from sandbox.json_http import JsonObject


class Code(IntEnum):
    """Value of `ErrorCode` in an answer."""

    SUCCESS = 0
    SENDER_UNKNOWN = 20003
    URL = 60002
    JSON = 60003
    SIGNATURE_MISSING = 60004
    CALLS_TOO_FREQUENT = 60007
    NO_SUCH_COMMAND = 60009
    NOT_ADMINISTRATOR = 60010
    RECIPIENTS_TOO_FREQUENT = 60011
    NO_APPLICATION = 60012
    SIGNATURE_EXPIRED = 70001
    SIGNATURE_MALFORMED = 70003
    SIGNATURE_WRONG = 70009
    SIGNATURE_OF_ANOTHER_IDENTIFIER = 70013
    SIGNATURE_OF_ANOTHER_APPLICATION = 70014
    APPLICATION_UNKNOWN = 70020
    ACCOUNT_UNKNOWN = 70107
    TOO_MANY_ACCOUNTS = 70398
    PARAMETER = 70402
    NO_MESSAGE_BODY = 90002
    TO_ACCOUNT = 90003
    MESSAGE_RANDOM = 90005
    MESSAGE_TIME = 90006
    MESSAGE_BODY_TYPE = 90007
    MESSAGE_ELEMENT = 90010
    TOO_MANY_RECIPIENTS = 90011
    RECIPIENT_UNKNOWN = 90012
    LIFE_TIME = 90026
    SYNC_OTHER_MACHINE = 90031
    MESSAGE_TOO_LONG = 93000


_TEXTS: dict[int, str] = {
    Code.SENDER_UNKNOWN: "From_Account is not imported",
    Code.URL: "the query is malformed",
    Code.JSON: "the body is not JSON",
    Code.SIGNATURE_MISSING: "identifier or usersig is missing",
    Code.CALLS_TOO_FREQUENT: "this command is called too often",
    Code.NO_SUCH_COMMAND: "no such command",
    Code.NOT_ADMINISTRATOR: "identifier is not an administrator of the application",
    Code.RECIPIENTS_TOO_FREQUENT: "too many recipients in a minute",
    Code.NO_APPLICATION: "sdkappid is missing or not a number",
    Code.SIGNATURE_EXPIRED: "usersig is expired",
    Code.SIGNATURE_MALFORMED: "usersig is malformed",
    Code.SIGNATURE_WRONG: "usersig was not made with the key of the application",
    Code.SIGNATURE_OF_ANOTHER_IDENTIFIER: "usersig is of another identifier",
    Code.SIGNATURE_OF_ANOTHER_APPLICATION: "usersig is of another sdkappid",
    Code.APPLICATION_UNKNOWN: "sdkappid does not exist",
    Code.ACCOUNT_UNKNOWN: "the account is not imported",
    Code.TOO_MANY_ACCOUNTS: "the application has as many accounts as it may",
    Code.PARAMETER: "illegal parameter",
    Code.NO_MESSAGE_BODY: "MsgBody is missing",
    Code.TO_ACCOUNT: "To_Account is missing or of the wrong type",
    Code.MESSAGE_RANDOM: "MsgRandom is missing or not an unsigned 32-bit integer",
    Code.MESSAGE_TIME: "MsgTimeStamp is not an integer",
    Code.MESSAGE_BODY_TYPE: "MsgBody is not an array",
    Code.MESSAGE_ELEMENT: "an element of MsgBody is malformed",
    Code.TOO_MANY_RECIPIENTS: "To_Account has more than 500 accounts",
    Code.RECIPIENT_UNKNOWN: "To_Account is not imported",
    Code.LIFE_TIME: "MsgLifeTime is not within 0 and 604800",
    Code.SYNC_OTHER_MACHINE: "SyncOtherMachine is neither 1 nor 2",
    Code.MESSAGE_TOO_LONG: "the message is longer than 12 KB",
}


class RefusalError(Exception):
    """A call is answered with this code and nothing is carried out."""

    def __init__(self, code: int, detail: str = "", fields: JsonObject | None = None) -> None:
        """Take a code, also one that `Code` does not list, what it is about, and more fields of the answer."""
        text = _TEXTS.get(code, f"error {code:d}")
        self.code = int(code)
        self.text = f"{text}: {detail}" if detail else text
        self.fields = fields or {}
        super().__init__(f"{self.code} {self.text}")
