from __future__ import annotations

import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from mesh.provider.circuit import Circuit, CircuitPolicy, CircuitState, Passage, Trouble

POLICY = CircuitPolicy(failures_max=3, open_seconds=10, stop_seconds=60)


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def circuit(clock: Clock) -> Circuit:
    return Circuit("main", POLICY, clock)


def enter(circuit: Circuit) -> Passage:
    passage = circuit.enter()
    assert passage is not None
    return passage


def call(circuit: Circuit, trouble: Trouble, reason: str = "") -> None:
    circuit.leave(enter(circuit), trouble, reason)


def is_open_in_metrics() -> float | None:
    return REGISTRY.get_sample_value("brandmesh_provider_circuit_open", {"account": "main"})


def test_a_refused_account_is_stopped_at_once(circuit: Circuit, clock: Clock) -> None:
    call(circuit, Trouble.ACCOUNT, "PASSWORD_WRONG")
    assert (circuit.state, circuit.permits(), circuit.enter()) == (CircuitState.OPEN, False, None)
    assert (circuit.retry_after_seconds, circuit.reason) == (60, "PASSWORD_WRONG")
    clock.now += 59
    assert circuit.retry_after_seconds == 1
    clock.now += 1
    assert (circuit.state, circuit.retry_after_seconds) == (CircuitState.HALF_OPEN, 0)


def test_failures_in_a_row_open_it(circuit: Circuit) -> None:
    call(circuit, Trouble.TRANSPORT)
    call(circuit, Trouble.TRANSPORT)
    assert circuit.permits()
    call(circuit, Trouble.TRANSPORT)
    assert (circuit.permits(), circuit.retry_after_seconds) == (False, 10)


def test_a_success_between_failures_keeps_it_closed(circuit: Circuit) -> None:
    for trouble in (Trouble.TRANSPORT, Trouble.TRANSPORT, Trouble.NONE, Trouble.TRANSPORT, Trouble.TRANSPORT):
        call(circuit, trouble)
    assert circuit.state is CircuitState.CLOSED


def test_one_call_at_a_time_tries_a_half_open_circuit(circuit: Circuit, clock: Clock) -> None:
    call(circuit, Trouble.ACCOUNT)
    clock.now += 60
    probe = enter(circuit)
    assert (circuit.permits(), circuit.enter()) == (False, None)
    assert circuit.retry_after_seconds > 0
    circuit.leave(probe, Trouble.NONE)
    assert circuit.state is CircuitState.CLOSED


@pytest.mark.parametrize(("trouble", "seconds"), [(Trouble.TRANSPORT, 10), (Trouble.ACCOUNT, 60)])
def test_a_failed_probe_opens_it_again(circuit: Circuit, clock: Clock, trouble: Trouble, seconds: float) -> None:
    call(circuit, Trouble.ACCOUNT)
    clock.now += 60
    call(circuit, trouble)
    assert (circuit.state, circuit.retry_after_seconds) == (CircuitState.OPEN, seconds)


def test_a_cancelled_probe_leaves_room_for_another(circuit: Circuit, clock: Clock) -> None:
    call(circuit, Trouble.ACCOUNT)
    clock.now += 60
    circuit.leave(enter(circuit), None)
    assert (circuit.state, circuit.permits()) == (CircuitState.HALF_OPEN, True)


def test_calls_from_before_a_change_do_not_undo_it(circuit: Circuit, clock: Clock) -> None:
    early = [enter(circuit) for _ in range(4)]
    circuit.leave(early[0], Trouble.ACCOUNT)
    circuit.leave(early[1], Trouble.NONE)
    assert circuit.retry_after_seconds == 60
    clock.now += 60
    probe = enter(circuit)
    circuit.leave(early[2], Trouble.NONE)
    assert not circuit.permits(), "the probe is still under way"
    circuit.leave(probe, Trouble.NONE)
    circuit.leave(early[3], Trouble.ACCOUNT)
    assert circuit.state is CircuitState.CLOSED


def test_one_log_line_a_change(circuit: Circuit, clock: Clock) -> None:
    with capture_logs() as lines:
        early = [enter(circuit), enter(circuit)]
        for passage in early:
            circuit.leave(passage, Trouble.ACCOUNT, "PASSWORD_WRONG")
        assert is_open_in_metrics() == 1
        for _ in range(3):
            clock.now += 60
            call(circuit, Trouble.ACCOUNT, "PASSWORD_WRONG")
        clock.now += 60
        call(circuit, Trouble.ACCOUNT, "ACCOUNT_EXPIRED")
        clock.now += 60
        call(circuit, Trouble.NONE)
        assert is_open_in_metrics() == 0
    assert [(line["event"], line.get("reason"), line["log_level"]) for line in lines] == [
        ("provider_circuit_opened", "PASSWORD_WRONG", "warning"),
        ("provider_circuit_opened", "ACCOUNT_EXPIRED", "warning"),
        ("provider_circuit_closed", None, "warning"),
    ]
