"""Every code that ChuangLan documents for the answer to a send, what it means and what to do about it.

`MAINLAND` holds V1's numbers and, marked so, those that V2 added: a V1 account has been seen to answer with them.
`INTERNATIONAL` holds the numbers of its international accounts, which give many of them another meaning.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final


class Policy(StrEnum):
    """What to do with a submission that was answered so. The provider has none of its messages."""

    RETRY = "retry"
    """Submit again later."""
    STOP = "stop"
    """Submit again later, and stop the account until somebody has acted."""
    FAIL = "fail"
    """Give it up."""


class Generation(StrEnum):
    """Which generation of the API introduced a code."""

    V1 = "V1"
    V2 = "V2"


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a code means. `after_seconds` is the least wait before a retry."""

    reason: str
    policy: Policy = Policy.FAIL
    after_seconds: float = 0.0
    generation: Generation = Generation.V1


TOO_FAST_SECONDS: Final = 1.0
BUSY_SECONDS: Final = 5.0
STOPPED_SECONDS: Final = 60.0


def _stop(reason: str) -> Meaning:
    return Meaning(reason, Policy.STOP, STOPPED_SECONDS)


def _v2(reason: str, policy: Policy = Policy.FAIL, after_seconds: float = 0.0) -> Meaning:
    return Meaning(reason, policy, after_seconds, Generation.V2)


MAINLAND: Final[Mapping[str, Meaning]] = MappingProxyType(
    {
        "101": _stop("ACCOUNT_UNKNOWN"),
        "102": _stop("PASSWORD_WRONG"),
        "103": Meaning("TOO_FAST", Policy.RETRY, TOO_FAST_SECONDS),
        "104": Meaning("PROVIDER_BUSY", Policy.RETRY, BUSY_SECONDS),
        "105": Meaning("SENSITIVE_WORD"),
        "106": Meaning("TEXT_LENGTH"),
        "107": Meaning("PHONE_INVALID"),
        "108": Meaning("PHONE_COUNT"),
        "109": _stop("ACCOUNT_NO_CREDIT"),
        "110": Meaning("OUTSIDE_SENDING_HOURS"),
        "111": Meaning("MONTHLY_QUOTA_USED"),
        "112": Meaning("PRODUCT_CONFIGURATION"),
        "113": Meaning("EXTENSION_INVALID"),
        "114": Meaning("PARAMETER_GROUPS"),
        "115": Meaning("AUTOMATIC_REVIEW_REFUSED"),
        "116": Meaning("SIGNATURE_INVALID"),
        "117": _stop("IP_NOT_ALLOWED"),
        "118": _stop("ACCOUNT_NO_PERMISSION"),
        "119": _stop("ACCOUNT_EXPIRED"),
        "120": Meaning("DAILY_PROTECTION_LIMIT"),
        "123": Meaning("SENDING_TYPE"),
        "124": Meaning("WHITELIST_TEMPLATE_MISMATCH"),
        "125": Meaning("TEMPLATE_REFUSED"),
        "127": Meaning("SCHEDULE_TIME_INVALID"),
        "128": Meaning("TEXT_ENCODING"),
        "129": Meaning("JSON_INVALID"),
        "130": Meaning("PARAMETER_MISSING"),
        "132": _v2("TEXT_LENGTH_3500"),
        "133": _v2("SINGLE_NUMBER_ONLY"),
        "134": _v2("MONTHLY_PROTECTION_LIMIT"),
        "135": _v2("SAME_PHONE_AND_TEXT_LIMIT"),
        "136": _v2("VERIFICATION_NOT_IN_BATCH"),
        "139": _v2("OUTSIDE_SAFE_HOURS"),
        "140": _v2("DECRYPTION"),
        "144": _v2("PRODUCT_NOT_LIVE"),
        "145": _v2("SIGNATURE_CHECK"),
        "152": _v2("TEMPLATE_MISSING"),
        "153": _v2("TEXT_LENGTH_2000"),
        "154": _v2("TEXT_SPLICE"),
        "155": _v2("FORWARDING", Policy.RETRY, BUSY_SECONDS),
        "158": _v2("OPT_OUT_TEXT"),
        "159": _v2("BOMBING_PROTECTION"),
    }
)

INTERNATIONAL: Final[Mapping[str, Meaning]] = MappingProxyType(
    {
        "101": _stop("ACCOUNT_UNKNOWN"),
        "102": _stop("PASSWORD_WRONG"),
        "103": Meaning("PULL_COUNT_INVALID"),
        "104": Meaning("PULL_COUNT_RANGE"),
        "105": Meaning("UID_LENGTH"),
        "106": Meaning("TEXT_LENGTH"),
        "108": Meaning("PHONE_INVALID"),
        "109": Meaning("PHONE_COUNT"),
        "110": _stop("ACCOUNT_NO_CREDIT"),
        "112": Meaning("PRODUCT_CONFIGURATION"),
        "114": _stop("IP_NOT_ALLOWED"),
        "115": Meaning("MAINLAND_NOT_PERMITTED"),
        "116": _stop("ACCOUNT_DISABLED"),
        "117": Meaning("EXTENSION_INVALID"),
        "123": Meaning("TEXT_EMPTY"),
        "124": Meaning("VOICE_TEXT_EMPTY"),
        "125": Meaning("DAILY_PHONE_LIMIT"),
        "126": Meaning("SCHEDULE_TIME_INVALID"),
        "128": _stop("ACCOUNT_INVALID"),
        "129": Meaning("PRICE_CONFIGURATION"),
        "130": Meaning("PROVIDER_EXCEPTION"),
        "131": Meaning("DAILY_QUOTA_USED"),
        "132": Meaning("MONTHLY_QUOTA_USED"),
        "133": Meaning("QUOTA_USED"),
        "134": Meaning("COMPLAINT_PROTECTION_LIMIT"),
        "135": Meaning("TEMPLATE_MISMATCH"),
    }
)

UNLISTED: Final = Meaning("PROVIDER_CODE_UNLISTED")
"""Any other code: the answer says that nothing was accepted, so the message fails, and its code is kept."""
