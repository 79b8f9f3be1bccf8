from __future__ import annotations

import grpc
import pytest
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2
from hypothesis import given
from hypothesis import strategies as st

from mesh.errors import (
    ERROR_DOMAIN,
    VIOLATIONS_MAX,
    DomainError,
    FieldViolation,
    from_status,
    invalid_field,
    invalid_request,
    overloaded,
    to_status,
)

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
refusals = st.builds(
    DomainError,
    st.sampled_from([code for code in grpc.StatusCode if code is not grpc.StatusCode.OK]),
    st.from_regex("[A-Z][A-Z_]{0,20}", fullmatch=True),
    texts,
    st.dictionaries(texts, texts, max_size=3),
    st.lists(st.builds(FieldViolation, texts, texts), max_size=3),
    st.none() | st.integers(0, 10_000).map(lambda ms: ms / 1000),
)


def parts(error: DomainError) -> tuple[object, ...]:
    return (
        error.code,
        error.reason,
        error.message,
        dict(error.metadata),
        list(error.violations),
        error.retry_after_seconds,
    )


@given(refusals)
def test_a_refusal_survives_the_wire(refusal: DomainError) -> None:
    status = status_pb2.Status.FromString(to_status(refusal).SerializeToString())
    assert parts(from_status(status)) == parts(refusal)


def test_its_reason_is_an_error_info_of_this_project() -> None:
    status = to_status(DomainError(grpc.StatusCode.FAILED_PRECONDITION, "NO_CREDIT", "buy some", {"available": "3"}))
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    assert (info.reason, info.domain, dict(info.metadata)) == ("NO_CREDIT", ERROR_DOMAIN, {"available": "3"})
    assert (status.code, status.message, len(status.details)) == (9, "buy some", 1)


def test_a_status_of_another_origin_keeps_its_code_and_words() -> None:
    stranger = any_pb2.Any(type_url="type.googleapis.com/who.Knows", value=b"\xff")
    error = from_status(status_pb2.Status(code=14, message="connection refused", details=[stranger]))
    assert (error.code, error.reason, error.message) == (
        grpc.StatusCode.UNAVAILABLE, "UNAVAILABLE", "connection refused",
    )  # fmt: skip
    assert from_status(status_pb2.Status(code=99)).code is grpc.StatusCode.UNKNOWN


def test_a_field_that_is_wrong_is_named() -> None:
    error = invalid_field("phones[3]", "is no phone number")
    assert (error.code, error.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST")
    assert str(error) == "INVALID_REQUEST: phones[3]: is no phone number"
    assert list(error.violations) == [FieldViolation("phones[3]", "is no phone number")]


def test_a_flood_of_wrong_fields_is_cut() -> None:
    error = invalid_request(*(FieldViolation(f"phones[{number}]", "is no phone number") for number in range(100_000)))
    assert len(error.violations) == VIOLATIONS_MAX
    assert len(to_status(error).SerializeToString()) < 8_000


def test_back_pressure_says_when_to_come_again() -> None:
    error = overloaded("the queue", 2.5)
    assert (error.code, error.retry_after_seconds) == (grpc.StatusCode.RESOURCE_EXHAUSTED, 2.5)
    assert "2.5 s" in error.message


@pytest.mark.parametrize("code", grpc.StatusCode)
def test_what_may_be_repeated_as_it_is(code: grpc.StatusCode) -> None:
    final = {
        grpc.StatusCode.OK,
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.NOT_FOUND,
        grpc.StatusCode.ALREADY_EXISTS,
        grpc.StatusCode.PERMISSION_DENIED,
        grpc.StatusCode.FAILED_PRECONDITION,
        grpc.StatusCode.OUT_OF_RANGE,
        grpc.StatusCode.UNIMPLEMENTED,
        grpc.StatusCode.DATA_LOSS,
        grpc.StatusCode.UNAUTHENTICATED,
    }
    assert DomainError(code, "REASON", "").is_retryable is (code not in final)
