"""Reading the messages of openim/sendmsg and openim/batchsendmsg, as strictly as Tencent does."""

from collections.abc import Iterator
from dataclasses import dataclass

from sandbox.json_http import JsonObject
from sandbox.txim.codes import Code, RefusalError

MESSAGE_BYTES_MAX = 12 * 1024
LIFE_TIME_SECONDS_MAX = 7 * 24 * 3600
_UINT32_MAX = (1 << 32) - 1
# The text of an element stands under this key of its MsgContent.
_TEXT_KEYS = {"TIMTextElem": "Text", "TIMCustomElem": "Data"}


@dataclass(frozen=True, slots=True)
class Content:
    """A message without its recipients.

    `second` is MsgTimeStamp, or the second of arrival when there is none (`msg_time_stamp` is then None). `text` is
    that of the text elements, `custom_data` that of the custom ones; of several, each on a line of its own.
    """

    command: str
    sender: str
    text: str
    custom_data: str
    cloud_custom_data: str
    msg_random: int
    msg_time_stamp: int | None
    second: int
    life_time_seconds: int | None
    msg_seq: int

    @property
    def msg_key(self) -> str:
        """MsgKey: the same for each repeat of the message."""
        return f"{self.msg_seq}_{self.msg_random}_{self.second}"

    def describe(self) -> JsonObject:
        """Return the content as GET /admin/txim/messages shows it."""
        return {
            "command": self.command,
            "from": self.sender,
            "text": self.text,
            "custom_data": self.custom_data,
            "cloud_custom_data": self.cloud_custom_data,
            "msg_random": self.msg_random,
            "msg_time_stamp": self.msg_time_stamp,
            "life_time_seconds": self.life_time_seconds,
            "msg_key": self.msg_key,
        }


def read_content(command: str, body: JsonObject, sender_default: str, received_at_ms: int) -> Content:
    """Read everything but the recipients; refused with the code of the field that is wrong."""
    sync = body.get("SyncOtherMachine", 1)
    if not _is_integer(sync, 1, 2):
        raise RefusalError(Code.SYNC_OTHER_MACHINE)
    msg_random = _require_integer(body.get("MsgRandom"), 0, _UINT32_MAX, Code.MESSAGE_RANDOM)
    stamp = _optional_integer(body, "MsgTimeStamp", _UINT32_MAX, Code.MESSAGE_TIME)
    life_time = _optional_integer(body, "MsgLifeTime", LIFE_TIME_SECONDS_MAX, Code.LIFE_TIME)
    msg_seq = _optional_integer(body, "MsgSeq", _UINT32_MAX, Code.MESSAGE_ELEMENT)
    elements = list(_read_elements(body))
    cloud_custom_data = body.get("CloudCustomData", "")
    if not isinstance(cloud_custom_data, str):
        raise RefusalError(Code.MESSAGE_ELEMENT, "CloudCustomData must be a string")
    if sum(size for _, _, size in elements) + len(cloud_custom_data.encode()) > MESSAGE_BYTES_MAX:
        raise RefusalError(Code.MESSAGE_TOO_LONG)
    return Content(
        command=command,
        sender=_read_sender(body, sender_default),
        text="\n".join(text for kind, text, _ in elements if kind == "TIMTextElem"),
        custom_data="\n".join(text for kind, text, _ in elements if kind == "TIMCustomElem"),
        cloud_custom_data=cloud_custom_data,
        msg_random=msg_random,
        msg_time_stamp=stamp,
        second=received_at_ms // 1000 if stamp is None else stamp,
        life_time_seconds=life_time,
        msg_seq=msg_random % 1_000_000 if msg_seq is None else msg_seq,
    )


def read_recipient(body: JsonObject) -> str:
    """Read To_Account of a message to one account."""
    account = body.get("To_Account")
    if not isinstance(account, str) or not account:
        raise RefusalError(Code.TO_ACCOUNT, "must be a string")
    return account


def read_recipients(body: JsonObject, count_max: int) -> list[str]:
    """Read To_Account of a call about many accounts, at most so many."""
    accounts = body.get("To_Account")
    if not isinstance(accounts, list) or not accounts:
        raise RefusalError(Code.TO_ACCOUNT, "must be an array")
    if len(accounts) > count_max:
        raise RefusalError(Code.TOO_MANY_RECIPIENTS)
    if not all(isinstance(account, str) and account for account in accounts):
        raise RefusalError(Code.TO_ACCOUNT, "must hold strings")
    return accounts


def _read_sender(body: JsonObject, default: str) -> str:
    sender = body.get("From_Account", default)
    if not isinstance(sender, str) or not sender:
        raise RefusalError(Code.SENDER_UNKNOWN)
    return sender


def _read_elements(body: JsonObject) -> Iterator[tuple[str, str, int]]:
    """Go through MsgBody: type, text and size in bytes of each element."""
    elements = body.get("MsgBody")
    if elements is None:
        raise RefusalError(Code.NO_MESSAGE_BODY)
    if not isinstance(elements, list):
        raise RefusalError(Code.MESSAGE_BODY_TYPE)
    if not elements:
        raise RefusalError(Code.MESSAGE_ELEMENT, "MsgBody is empty")
    for element in elements:
        yield _read_element(element)


def _read_element(element: object) -> tuple[str, str, int]:
    if not isinstance(element, dict):
        raise RefusalError(Code.MESSAGE_ELEMENT, "must be an object")
    kind, content = element.get("MsgType"), element.get("MsgContent")
    if not isinstance(kind, str) or kind not in _TEXT_KEYS:
        raise RefusalError(Code.MESSAGE_ELEMENT, "MsgType must be TIMTextElem or TIMCustomElem")
    text_key = _TEXT_KEYS[kind]
    if not isinstance(content, dict) or not isinstance(content.get(text_key), str):
        raise RefusalError(Code.MESSAGE_ELEMENT, f"MsgContent of a {kind} must have {text_key}")
    size = sum(len(value.encode()) for value in content.values() if isinstance(value, str))
    return kind, content[text_key], size


def _optional_integer(body: JsonObject, name: str, largest: int, code: Code) -> int | None:
    return _require_integer(body[name], 0, largest, code) if name in body else None


def _require_integer(value: object, least: int, largest: int, code: Code) -> int:
    if not isinstance(value, int) or not _is_integer(value, least, largest):
        raise RefusalError(code)
    return value


def _is_integer(value: object, least: int, largest: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= largest
