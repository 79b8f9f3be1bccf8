"""Every pair of a status and an event: in the tables, and through storage on a real database."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import mysql

from sms_rpc import storage, tables
from sms_rpc.dispatching import Submission
from sms_rpc.domain import (
    DISPATCH_TRANSITIONS,
    RECORD_TRANSITIONS,
    TERMINAL,
    VERDICTS,
    DispatchEvent,
    DispatchState,
    NewDispatch,
    Outcome,
    Record,
    RecordEvent,
    RecordStatus,
    SmsMode,
    SmsType,
    Task,
    dispatch_sources,
    dispatch_target,
    record_sources,
    record_targets,
)
from sms_rpc.publisher import Publication
from sms_rpc.sending import withhold
from tests.sms_rpc.harness import BRAND, SmsMesh, e164

S, E = RecordStatus, RecordEvent
RECORD_EXPECTED: dict[RecordEvent, dict[RecordStatus, RecordStatus]] = {
    E.PUBLISH: {S.SCHEDULED: S.QUEUED, S.ACCEPTED: S.QUEUED},
    E.WITHHOLD: {S.QUEUED: S.ACCEPTED},
    E.CANCEL: {S.SCHEDULED: S.CANCELLED},
    E.CHARGE: {S.ACCEPTED: S.CHARGED, S.QUEUED: S.CHARGED, S.CHARGED: S.CHARGED},
    E.REFUSE: {S.ACCEPTED: S.FAILED, S.QUEUED: S.FAILED},
    E.SUBMIT: {S.CHARGED: S.SUBMITTED},
    E.REJECT: {S.CHARGED: S.FAILED},
    E.LOSE: {S.CHARGED: S.UNKNOWN},
    E.DELIVER: {S.CHARGED: S.DELIVERED, S.SUBMITTED: S.DELIVERED, S.UNKNOWN: S.DELIVERED},
    E.UNDELIVER: {S.CHARGED: S.FAILED, S.SUBMITTED: S.FAILED, S.UNKNOWN: S.FAILED},
    E.SETTLE: {S.SUBMITTED: S.UNCONFIRMED, S.UNKNOWN: S.FAILED},
}

D, F = DispatchState, DispatchEvent
DISPATCH_EXPECTED: dict[DispatchEvent, dict[DispatchState, DispatchState]] = {
    F.LOAD: {D.LOADING: D.QUEUED},
    F.PUBLISH: {D.WAITING: D.QUEUED, D.QUEUED: D.QUEUED, D.CLAIMED: D.QUEUED, D.REPORTING: D.REPORTING},
    F.WITHHOLD: {D.QUEUED: D.WAITING},
    F.CLAIM: {D.WAITING: D.CLAIMED, D.QUEUED: D.CLAIMED, D.CLAIMED: D.CLAIMED, D.REPORTING: D.REPORTING},
    F.CHARGE: {D.CLAIMED: D.SUBMITTING, D.SUBMITTING: D.SUBMITTING},
    F.RETRY: {D.CLAIMED: D.WAITING, D.SUBMITTING: D.WAITING},
    F.RECORD: {D.CLAIMED: D.REPORTING, D.SUBMITTING: D.REPORTING},
    F.LOSE: {D.SUBMITTING: D.AWAITING},
    F.REPORT: {D.REPORTING: D.AWAITING},
    F.SETTLE: {D.AWAITING: D.REPORTING},
}

TERMINAL_EXPECTED = {S.DELIVERED, S.FAILED, S.CANCELLED, S.BLOCKED, S.UNCONFIRMED}

TIMES = {
    S.QUEUED: "queued_at_ms",
    S.CHARGED: "charged_at_ms",
    S.SUBMITTED: "submitted_at_ms",
    S.UNKNOWN: "unknown_at_ms",
    **dict.fromkeys(TERMINAL_EXPECTED, "settled_at_ms"),
}


@pytest.mark.parametrize("event", RecordEvent)
def test_records_take_an_event_in_these_statuses_and_no_other(event: RecordEvent) -> None:
    found = {status: RECORD_TRANSITIONS.get((status, event)) for status in RecordStatus}
    assert found == {status: RECORD_EXPECTED[event].get(status) for status in RecordStatus}
    assert record_targets(event) == RECORD_EXPECTED[event]
    assert set(record_sources(event)) == set(RECORD_EXPECTED[event])


@pytest.mark.parametrize("event", DispatchEvent)
def test_dispatches_take_an_event_in_these_states_and_no_other(event: DispatchEvent) -> None:
    found = {state: DISPATCH_TRANSITIONS.get((state, event)) for state in DispatchState}
    assert found == {state: DISPATCH_EXPECTED[event].get(state) for state in DispatchState}
    assert set(dispatch_sources(event)) == set(DISPATCH_EXPECTED[event])
    for state in DispatchState:
        if state in DISPATCH_EXPECTED[event]:
            assert dispatch_target(state, event) is DISPATCH_EXPECTED[event][state]
        else:
            with pytest.raises(KeyError):
                dispatch_target(state, event)


def test_a_terminal_status_takes_no_event_and_every_other_leads_to_one() -> None:
    assert TERMINAL_EXPECTED == TERMINAL
    assert not [pair for pair in RECORD_TRANSITIONS if pair[0] in TERMINAL]
    ending = set(TERMINAL)
    for _ in RecordStatus:
        ending |= {status for (status, _), target in RECORD_TRANSITIONS.items() if target in ending}
    assert ending == set(RecordStatus)


def test_a_message_that_was_submitted_can_never_be_charged_or_submitted_again() -> None:
    after: set[RecordStatus] = {S.SUBMITTED, S.UNKNOWN}
    for _ in RecordStatus:
        after |= {target for (status, _), target in RECORD_TRANSITIONS.items() if status in after}
    assert not after & {*record_sources(E.CHARGE), *record_sources(E.SUBMIT), *record_sources(E.PUBLISH)}


def test_every_outcome_but_the_sweeps_own_has_a_verdict() -> None:
    assert set(VERDICTS) == set(Outcome) - {Outcome.LOST}


FIRST_ID = 1000
NOW_MS = 5_000


def record_in(status: RecordStatus, record_id: int) -> Record:
    """Make a record with every field set, so that a field that changes shows."""
    return Record(
        record_id=record_id,
        task_id=FIRST_ID,
        brand_id=BRAND,
        phone=e164(record_id),
        params=(),
        segments=1,
        status=status,
        accepted_at_ms=1,
        queued_at_ms=2,
        charged_at_ms=3,
        submitted_at_ms=4,
        unknown_at_ms=5,
        settled_at_ms=6,
        failure_reason="WHY",
        provider_code="CODE",
        provider_message_id="ID",
        payment_id="7-1",
    )


@pytest.mark.parametrize("event", RecordEvent)
def test_the_status_is_assigned_last_because_mariadb_assigns_in_turn(event: RecordEvent) -> None:
    statement = str(storage._move_statement(event, ("payment_id",)).compile(dialect=mysql.dialect()))
    assigned = re.findall(r"(?:SET |, )(\w+)=", statement.partition(" WHERE record.record_id")[0])
    assert assigned[-1] == "status"
    assert len(assigned) >= 2


@pytest.mark.parametrize("values", [{}, {"provider_code": "NEW"}], ids=["alone", "with values"])
@pytest.mark.parametrize("event", RecordEvent)
async def test_storage_moves_the_records_of_the_table_and_touches_no_other(
    mesh: SmsMesh, event: RecordEvent, values: dict[str, str]
) -> None:
    before = {status: record_in(status, FIRST_ID + number) for number, status in enumerate(RecordStatus)}
    ranges = [(FIRST_ID, 4), (FIRST_ID + 4, len(before) - 4)]
    async with mesh.database.write() as connection:
        await storage.insert_records(connection, list(before.values()))
        further = [values, values] if values else None
        await storage.move_records(connection, event, ranges, now_ms=NOW_MS, values=further)
        after = {one.record_id: one for one in await storage.read_records(connection, FIRST_ID, len(before))}
    for status, one in before.items():
        target = RECORD_EXPECTED[event].get(status)
        expected = one._asdict()
        if target is not None:
            expected |= values | {"status": target}
            if target is not status and target is not S.ACCEPTED:
                expected[TIMES[target]] = NOW_MS
        assert after[one.record_id]._asdict() == expected, (status, event)


async def test_a_message_that_a_consumer_had_before_it_was_noted_as_queued_is_queued_when_it_is_charged(
    mesh: SmsMesh,
) -> None:
    early = record_in(S.ACCEPTED, FIRST_ID)._replace(queued_at_ms=0, charged_at_ms=0)
    async with mesh.database.write() as connection:
        await storage.insert_records(connection, [early])
        await storage.move_records(connection, E.CHARGE, [(FIRST_ID, 1)], now_ms=NOW_MS)
        (one,) = await storage.read_records(connection, FIRST_ID, 1)
    assert (one.queued_at_ms, one.charged_at_ms) == (NOW_MS, NOW_MS)


# Dispatches, through the use cases that take them through each event.

HOLDER = "holder"
RECORD_OF: Mapping[DispatchState, RecordStatus] = {
    D.LOADING: S.QUEUED,
    D.WAITING: S.ACCEPTED,
    D.QUEUED: S.QUEUED,
    D.CLAIMED: S.QUEUED,
    D.SUBMITTING: S.CHARGED,
    D.REPORTING: S.SUBMITTED,
    D.AWAITING: S.UNKNOWN,
}
DISPATCH_IDS = {state: FIRST_ID + number for number, state in enumerate(DispatchState)}


def outcome(kind: Outcome) -> Callable[[SmsMesh], Awaitable[None]]:
    async def record(mesh: SmsMesh) -> None:
        submissions = [Submission(one, kind, "", "REASON", "", 60) for one in DISPATCH_IDS.values()]
        await mesh.dispatching.record_submissions(submissions, HOLDER)

    return record


async def load(mesh: SmsMesh) -> None:
    async with mesh.database.write() as connection:
        await storage.finish_loading(connection, FIRST_ID, D.QUEUED)


async def sweep(mesh: SmsMesh) -> None:
    await mesh.sweeping.sweep(100)


async def withhold_all(mesh: SmsMesh) -> None:
    await withhold(
        mesh.database,
        [Publication(one, 1, BRAND, SmsType.NOTIFICATION, SmsMode.SINGLE) for one in DISPATCH_IDS.values()],
    )


async def claim(mesh: SmsMesh) -> None:
    await mesh.dispatching.claim(list(DISPATCH_IDS.values()), "another", 60)


async def charge(mesh: SmsMesh) -> None:
    await mesh.dispatching.record_charges(dict.fromkeys(DISPATCH_IDS.values(), "7-2"), HOLDER, 60)


async def finish(mesh: SmsMesh) -> None:
    await mesh.dispatching.finish(list(DISPATCH_IDS.values()))


# What a use case does to a dispatch beyond the event that it is listed under.
SWEPT = {**DISPATCH_EXPECTED[F.PUBLISH], D.SUBMITTING: D.AWAITING, D.AWAITING: D.REPORTING}
USE_CASES: Sequence[tuple[Callable[[SmsMesh], Awaitable[None]], Mapping[DispatchState, DispatchState]]] = [
    (load, DISPATCH_EXPECTED[F.LOAD]),
    (sweep, SWEPT),
    (withhold_all, DISPATCH_EXPECTED[F.WITHHOLD]),
    (claim, DISPATCH_EXPECTED[F.CLAIM]),
    (charge, DISPATCH_EXPECTED[F.CHARGE]),
    (outcome(Outcome.RETRY), DISPATCH_EXPECTED[F.RETRY]),
    (outcome(Outcome.SUBMITTED), DISPATCH_EXPECTED[F.RECORD]),
    (outcome(Outcome.REJECTED), DISPATCH_EXPECTED[F.RECORD]),
    (outcome(Outcome.UNPAID), DISPATCH_EXPECTED[F.RECORD]),
    (outcome(Outcome.WITHDRAWN), DISPATCH_EXPECTED[F.RECORD]),
    (outcome(Outcome.UNKNOWN), DISPATCH_EXPECTED[F.LOSE]),
    (finish, DISPATCH_EXPECTED[F.REPORT]),
]


async def insert_one_dispatch_a_state(mesh: SmsMesh) -> None:
    """Store overdue dispatches, all held by HOLDER and with an outcome, each with one record."""
    task = Task(
        task_id=FIRST_ID,
        brand_id=BRAND,
        request_id="request",
        body_hash="hash",
        sms_type=SmsType.NOTIFICATION,
        mode=SmsMode.SINGLE,
        content="content",
        signature="signature",
        variable=False,
        accepted_count=len(DISPATCH_IDS),
        blocked_count=0,
        frozen=len(DISPATCH_IDS),
        freeze_id="7-1",
        freeze_request_id="sms/request",
        schedule_at_ms=0,
        created_at_ms=mesh.clock.now_ms,
    )
    dispatches = [
        NewDispatch(
            dispatch_id=dispatch_id,
            record_count=1,
            task_id=FIRST_ID,
            brand_id=BRAND,
            sms_type="NOTIFICATION",
            mode="SINGLE",
            state=state.value,
            outcome="UNKNOWN" if state is D.AWAITING else "SUBMITTED",
            payment_id="7-1",
            attempt=0,
            wanted_at_ms=mesh.clock.now_ms,
            look_at_ms=mesh.clock.now_ms - 1,
            consumer=HOLDER,
        )
        for state, dispatch_id in DISPATCH_IDS.items()
    ]
    records = [record_in(RECORD_OF[state], one) for state, one in DISPATCH_IDS.items()]
    async with mesh.database.write() as connection:
        await storage.insert_tasks(connection, [task])
        await storage.insert_dispatches(connection, dispatches)
        await storage.insert_records(connection, records)


async def rows_by_id(mesh: SmsMesh, table: sa.Table) -> dict[int, dict[str, Any]]:
    (key,) = (column.name for column in table.primary_key.columns)
    return {row[key]: row for row in await mesh.rows(table)}


@pytest.mark.parametrize(("use_case", "expected"), USE_CASES)
async def test_use_cases_move_the_dispatches_of_the_table_and_touch_no_other(
    mesh: SmsMesh,
    use_case: Callable[[SmsMesh], Awaitable[None]],
    expected: Mapping[DispatchState, DispatchState],
) -> None:
    await insert_one_dispatch_a_state(mesh)
    before = await rows_by_id(mesh, tables.dispatch)
    records_before = await rows_by_id(mesh, tables.record)
    await use_case(mesh)
    after = await rows_by_id(mesh, tables.dispatch)
    records_after = await rows_by_id(mesh, tables.record)
    for state, dispatch_id in DISPATCH_IDS.items():
        if state in expected:
            assert after[dispatch_id]["state"] == expected[state], state
        else:
            assert after[dispatch_id] == before[dispatch_id], state
            # What could not be published is withheld message by message: a consumer may have it all the same.
            assert use_case is withhold_all or records_after[dispatch_id] == records_before[dispatch_id], state


@pytest.mark.parametrize(
    ("words", "table"), [(Task, tables.task), (Record, tables.record), (NewDispatch, tables.dispatch)]
)
def test_what_is_written_as_a_tuple_stands_in_the_order_of_its_table(words: type[Any], table: sa.Table) -> None:
    assert words._fields == tuple(column.name for column in table.columns)
