"""How many segments a text is billed as. Pure: the standard library alone.

Texts include the signature in its brackets, for example `【Blue Bay】Your table is ready`.
"""

from __future__ import annotations

MAINLAND_SINGLE_CHARACTERS = 70
MAINLAND_PART_CHARACTERS = 67

GSM_SINGLE_SEPTETS = 160
GSM_PART_SEPTETS = 153
UCS2_SINGLE_UNITS = 70
UCS2_PART_UNITS = 67

GSM_BASIC = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
"""The default alphabet of GSM 03.38 (3GPP TS 23.038, 6.2.1) without its escape: one septet each."""

GSM_EXTENSION = frozenset("\f^{}\\[~]|€")
"""The extension table of GSM 03.38 (3GPP TS 23.038, 6.2.1.1): an escape and a septet each."""

_GSM = GSM_BASIC | GSM_EXTENSION
_LAST_OF_BASIC_PLANE = "\uffff"


def count_mainland(text: str) -> int:
    """Answer the segments that a mainland carrier bills (ChuangLan V1): 1 up to 70 characters, else 67 a segment.

    Every character counts 1, ASCII and emoji too: the source counts characters, not UTF-16 units, so a code point is
    1 even where the handset needs a surrogate pair. A receipt that bills otherwise is settled by its `length`.
    """
    if len(text) <= MAINLAND_SINGLE_CHARACTERS:
        return 1
    return -(-len(text) // MAINLAND_PART_CHARACTERS)


def count_international(text: str) -> int:
    """Answer the segments of a text outside mainland China.

    A text of GSM 03.38 characters has 160 septets, or 153 in each part of several; any other text is UCS2 with 70
    UTF-16 units, or 67 in each part. An escaped character and a surrogate pair are never split between two parts.
    """
    if _GSM.issuperset(text):
        septets = [2 if character in GSM_EXTENSION else 1 for character in text]
        return _count_parts(septets, GSM_SINGLE_SEPTETS, GSM_PART_SEPTETS)
    units = [2 if character > _LAST_OF_BASIC_PLANE else 1 for character in text]
    return _count_parts(units, UCS2_SINGLE_UNITS, UCS2_PART_UNITS)


def _count_parts(costs: list[int], single: int, part: int) -> int:
    """Fill parts in order: what no longer fits whole begins the next part."""
    if sum(costs) <= single:
        return 1
    parts, room = 1, part
    for cost in costs:
        if cost > room:
            parts, room = parts + 1, part
        room -= cost
    return parts
