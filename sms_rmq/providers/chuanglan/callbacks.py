"""Receipts and uplinks of ChuangLan V1, as they are pushed and as they are pulled.

Text and lengths are held to what SmsDispatchService takes and its database stores, since one item out of bounds would
refuse its whole batch.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from mesh.control_characters import has_control_character
from sms_rmq.providers.port import MalformedCallbackError, Receipt, Uplink, Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping

MESSAGE_ID_CHARACTERS_MAX = 64
STATUS_CHARACTERS_MAX = 32
CONTENT_CHARACTERS_MAX = 2000
DESTINATION_CHARACTERS_MAX = 32
TIME_CHARACTERS_MAX = 32
SEGMENTS_MAX = 1000
DISPATCH_ID_MAX = (1 << 63) - 1

DELIVERED_STATUS = "DELIVRD"
PENDING_STATUSES = frozenset({"UNKNOWN", "ACCEPTD", "ENROUTE"})
"""UNKNOWN may change within 72 h (ChuangLan V1); ACCEPTD and ENROUTE, should a carrier's come through, are no final
states either (SMPP 3.4, 5.2.28)."""

_MAINLAND_PHONE = re.compile(r"(?:\+?86)?(1[0-9]{10})", re.ASCII)
_ANY_PHONE = re.compile(r"(?:\+|00)?([1-9][0-9]{4,14})", re.ASCII)
_NUMBER = re.compile(r"[0-9]{1,19}", re.ASCII)
_LONG_MESSAGE = re.compile(r"([0-9A-Za-z]{1,32}),([0-9]{1,3}),([0-9]{1,3})", re.ASCII)
_PARTS_MAX = 255


class ChuangLanCallbacks:
    """Reads callbacks of accounts of one kind: 11 bare digits are a mainland phone to a mainland account only."""

    def __init__(self, *, international: bool = False) -> None:
        self._international = international

    def parse_receipt(self, query: Mapping[str, str]) -> Receipt:
        """Read a pushed receipt. Raises `MalformedCallbackError`."""
        return self._receipt(query, id_name="msgid")

    def parse_pulled_receipt(self, row: Mapping[str, str]) -> Receipt:
        """Read a row of a pull. Raises `MalformedCallbackError`."""
        return self._receipt(row, id_name="msgId")

    def parse_uplink(self, query: Mapping[str, str]) -> Uplink:
        """Read a pushed uplink. Raises `MalformedCallbackError`."""
        return self._uplink(query, content_name="msg", destination_name="destcode")

    def parse_pulled_uplink(self, row: Mapping[str, str]) -> Uplink:
        """Read a row of a pull. Raises `MalformedCallbackError`."""
        return self._uplink(row, content_name="messageContent", destination_name="destCode")

    def _receipt(self, fields: Mapping[str, str], id_name: str) -> Receipt:
        status = _text(fields, "status", STATUS_CHARACTERS_MAX)
        if not status:
            raise MalformedCallbackError("status", "is missing")
        return Receipt(
            dispatch_id=_number(fields, "uid", 1, DISPATCH_ID_MAX),
            phone_e164=self._phone(fields),
            provider_message_id=_text(fields, id_name, MESSAGE_ID_CHARACTERS_MAX),
            verdict=_verdict(status),
            provider_code=status,
            billed_segments=_number(fields, "length", 0, SEGMENTS_MAX) if fields.get("length") else 0,
        )

    def _uplink(self, fields: Mapping[str, str], content_name: str, destination_name: str) -> Uplink:
        group, number, count = _part(fields)
        return Uplink(
            phone_e164=self._phone(fields),
            content=_text(fields, content_name, CONTENT_CHARACTERS_MAX),
            destination=_text(fields, destination_name, DESTINATION_CHARACTERS_MAX),
            sent_at=_text(fields, "moTime", TIME_CHARACTERS_MAX),
            part_group=group,
            part_number=number,
            part_count=count,
        )

    def _phone(self, fields: Mapping[str, str]) -> str:
        written = fields.get("mobile", "")
        if not self._international and (mainland := _MAINLAND_PHONE.fullmatch(written)):
            return f"+86{mainland[1]}"
        if phone := _ANY_PHONE.fullmatch(written):
            return f"+{phone[1]}"
        raise MalformedCallbackError("mobile", "is no phone number")


def _verdict(status: str) -> Verdict:
    if status == DELIVERED_STATUS:
        return Verdict.DELIVERED
    return Verdict.PENDING if status in PENDING_STATUSES else Verdict.UNDELIVERED


def _text(fields: Mapping[str, str], name: str, characters_max: int) -> str:
    value = fields.get(name, "")
    if len(value) > characters_max:
        raise MalformedCallbackError(name, f"has over {characters_max} characters")
    if has_control_character(value):
        raise MalformedCallbackError(name, "has a control character")
    return value


def _number(fields: Mapping[str, str], name: str, least: int, most: int) -> int:
    text = fields.get(name, "")
    if not _NUMBER.fullmatch(text) or not least <= int(text) <= most:
        raise MalformedCallbackError(name, f"is no whole number from {least} to {most}")
    return int(text)


def _part(fields: Mapping[str, str]) -> tuple[str, int, int]:
    """Read `emshead`, "id,total,n" of a part of a long message; ("", 0, 0) for a whole one."""
    head = fields.get("emshead", "")
    if not head:
        return "", 0, 0
    match = _LONG_MESSAGE.fullmatch(head)
    if not match or not 1 <= int(match[3]) <= int(match[2]) <= _PARTS_MAX:
        raise MalformedCallbackError("emshead", 'is not "id,total,n" with n from 1 to total')
    return match[1], int(match[3]), int(match[2])
