"""Transition tables of domains, (state, event) -> state, applied as compare-and-set."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from enum import StrEnum
from typing import TypeVar

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

State = TypeVar("State", bound=Hashable)
NamedState = TypeVar("NamedState", bound=StrEnum)
Event = TypeVar("Event", bound=Hashable)


def changes(transitions: Mapping[tuple[State, Event], State], event: Event) -> dict[State, list[State]]:
    """Answer the states that an event leads to, each with those that it comes from. Without what it leaves as it is."""
    found: dict[State, list[State]] = {}
    for (source, by), target in transitions.items():
        if by == event and target != source:
            found.setdefault(target, []).append(source)
    return found


async def apply_event(
    connection: AsyncConnection,
    column: sa.Column[str],
    condition: sa.ColumnElement[bool],
    transitions: Mapping[tuple[NamedState, Event], NamedState],
    event: Event,
    **values: object,
) -> int:
    """Apply an event to the rows that meet a condition, and set `values` where it changes the state in `column`.

    Answers how many it changed. A row in a state that the event leaves as it is, or does not know, is not touched.
    """
    changed = 0
    for target, sources in changes(transitions, event).items():
        statement = (
            sa.update(column.table)
            .where(condition, column.in_([source.value for source in sources]))
            .values({column.name: target.value, **values})
        )
        changed += (await connection.execute(statement)).rowcount
    return changed
