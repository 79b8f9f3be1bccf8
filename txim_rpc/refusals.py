"""How the IM service refuses: each reason of the contract, with what to do about it."""

from __future__ import annotations

from collections.abc import Mapping

import grpc

from mesh.errors import DomainError
from txim_rpc.domain import BACK_OFF_SECONDS, Failure, Policy


def refusal(failure: Failure) -> DomainError:
    """Tell a call's failure where there are no results to tell it in. `metadata` has Tencent's code and our reason."""
    metadata = {"error_code": str(failure.error_code), "cause": failure.reason}
    match failure.policy:
        # An account that Tencent does not know makes none of these calls fail a second time differently.
        case Policy.FAIL | Policy.IMPORT:
            return _refused(metadata)
        case Policy.BACK_OFF:
            return _overloaded(metadata, failure.after_seconds)
        case _:
            return _unavailable(metadata, failure.after_seconds)


def _refused(metadata: Mapping[str, str]) -> DomainError:
    message = (
        f"Tencent refuses this ({metadata['cause']}, ErrorCode {metadata['error_code']}); to repeat it is of no use"
    )
    return DomainError(grpc.StatusCode.FAILED_PRECONDITION, "IM_REFUSED", message, metadata)


def _overloaded(metadata: Mapping[str, str], after_seconds: float) -> DomainError:
    seconds = after_seconds or BACK_OFF_SECONDS
    message = f"too many calls to Tencent ({metadata['cause']}), try again in {seconds:g} s"
    return DomainError(
        grpc.StatusCode.RESOURCE_EXHAUSTED, "IM_OVERLOADED", message, metadata, retry_after_seconds=seconds
    )


def _unavailable(metadata: Mapping[str, str], after_seconds: float) -> DomainError:
    message = f"Tencent cannot be asked at present ({metadata['cause']}), try again in {after_seconds:g} s"
    return DomainError(
        grpc.StatusCode.UNAVAILABLE, "IM_UNAVAILABLE", message, metadata, retry_after_seconds=after_seconds
    )
