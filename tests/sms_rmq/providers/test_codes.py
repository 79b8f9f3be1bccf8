from __future__ import annotations

import re
from collections.abc import Mapping

import pytest

from mesh.provider.circuit import Trouble
from sms_rmq.providers.chuanglan.answers import outcome_of_meaning
from sms_rmq.providers.chuanglan.codes import INTERNATIONAL, MAINLAND, Generation, Meaning, Policy
from sms_rmq.providers.port import Rejected, RetryLater

DOCUMENTED_V1 = {*range(101, 121), 123, 124, 125, 127, 128, 129, 130}
DOCUMENTED_V2 = {*range(132, 137), 139, 140, 144, 145, 152, 153, 154, 155, 158, 159}
DOCUMENTED_INTERNATIONAL = {*range(101, 107), 108, 109, 110, 112, *range(114, 118), *range(123, 127), *range(128, 136)}

RETRIED = {"103", "104", "155"}
STOPPING = {"101", "102", "109", "117", "118", "119"}

BOTH = pytest.mark.parametrize("meanings", [MAINLAND, INTERNATIONAL], ids=["mainland", "international"])


def numbers(meanings: Mapping[str, Meaning], generation: Generation) -> set[int]:
    return {int(code) for code, meaning in meanings.items() if meaning.generation is generation}


def test_every_documented_code_is_listed() -> None:
    assert numbers(MAINLAND, Generation.V1) == DOCUMENTED_V1
    assert numbers(MAINLAND, Generation.V2) == DOCUMENTED_V2
    assert numbers(INTERNATIONAL, Generation.V1) == DOCUMENTED_INTERNATIONAL


@pytest.mark.parametrize("code", sorted(MAINLAND))
def test_mainland_policy(code: str) -> None:
    expected = Policy.RETRY if code in RETRIED else Policy.STOP if code in STOPPING else Policy.FAIL
    assert MAINLAND[code].policy is expected


@BOTH
def test_reasons_are_stable_names_of_their_own(meanings: Mapping[str, Meaning]) -> None:
    reasons = [meaning.reason for meaning in meanings.values()]
    assert all(re.fullmatch(r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)*", reason) for reason in reasons)
    assert max(map(len, reasons)) <= 64
    assert len(set(reasons)) == len(reasons)


@BOTH
def test_a_wait_belongs_to_what_is_tried_again(meanings: Mapping[str, Meaning]) -> None:
    for meaning in meanings.values():
        assert (meaning.after_seconds > 0) is (meaning.policy is not Policy.FAIL)


@BOTH
def test_each_code_has_the_outcome_of_its_policy(meanings: Mapping[str, Meaning]) -> None:
    for code, meaning in meanings.items():
        outcome = outcome_of_meaning(code, meaning)
        assert (outcome.reason, outcome.trouble is Trouble.ACCOUNT) == (meaning.reason, meaning.policy is Policy.STOP)
        assert isinstance(outcome, Rejected if meaning.policy is Policy.FAIL else RetryLater)
