"""Faults that can be switched on while the sandbox runs, whichever vendor they belong to.

A vendor declares its kinds as subclasses of `Fault` and asks `FaultBoard.draw` at the place where the fault
would strike. All chance comes from one seeded generator: the same calls in the same order meet the same faults.
"""

import random
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sandbox.json_http import BadRequestError, JsonObject, explain

ACTIVE_FAULTS_MAX = 100


class Fault(BaseModel):
    """What every fault has: how likely it strikes, how often at most, and whom (None is everybody)."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    kind: ClassVar[str]

    probability: float = Field(1.0, gt=0, le=1)
    count: int | None = Field(None, ge=1)
    account: str | None = None

    def concerns(self, account: str, operation: str) -> bool:
        """Whether a call of this account to this operation can meet the fault."""
        del operation
        return self.account is None or self.account == account


FaultT = TypeVar("FaultT", bound=Fault)


@dataclass(slots=True)
class ActiveFault:
    """A fault that was switched on, and how often it has struck."""

    fault_id: str
    fault: Fault
    hits: int = 0

    @property
    def exhausted(self) -> bool:
        """Whether the fault has struck as often as it may."""
        return self.fault.count is not None and self.hits >= self.fault.count

    def describe(self) -> JsonObject:
        """The fault as GET /admin/faults shows it."""
        return {"id": self.fault_id, "kind": self.fault.kind, "hits": self.hits, **self.fault.model_dump(mode="json")}


class FaultBoard:
    """The faults switched on at present, in the order in which they were added."""

    def __init__(self, seed: int, kinds: Iterable[type[Fault]]) -> None:
        """Take the seed of all chance and the kinds that may be switched on."""
        self._kinds = {kind.kind: kind for kind in kinds}
        self._seed = seed
        self._added = 0
        self._active: dict[type[Fault], list[ActiveFault]] = {}
        self.random = random.Random(seed)  # noqa: S311 - replayable chance is the purpose, nothing is secret

    def add(self, body: JsonObject) -> ActiveFault:
        """Switch a fault on, as described by JSON with its `kind` and the fields of that kind.

        Raises:
            BadRequestError: unknown kind, a field that the kind does not have, a value out of range, too many faults.

        """
        fields = dict(body)
        kind = self._kinds.get(str(fields.pop("kind", "")))
        if kind is None:
            raise BadRequestError(f"kind: must be one of {', '.join(sorted(self._kinds))}")
        if sum(map(len, self._active.values())) >= ACTIVE_FAULTS_MAX:
            raise BadRequestError(f"{ACTIVE_FAULTS_MAX} faults are on already: remove some first")
        try:
            fault = kind.model_validate(fields)
        except ValidationError as error:
            raise BadRequestError(explain(error)) from error
        self._added += 1
        active = ActiveFault(f"f{self._added}", fault)
        self._active.setdefault(kind, []).append(active)
        return active

    def remove(self, fault_id: str) -> bool:
        """Switch one fault off; False when there is none of this id."""
        for kind, faults in self._active.items():
            kept = [active for active in faults if active.fault_id != fault_id]
            if len(kept) < len(faults):
                self._active[kind] = kept
                return True
        return False

    def reset(self) -> None:
        """Switch every fault off and start chance anew from the seed."""
        self._active.clear()
        self.random.seed(self._seed)

    def describe(self) -> list[JsonObject]:
        """Every fault that is on, exhausted ones included."""
        return [active.describe() for faults in self._active.values() for active in faults]

    def draw(self, kind: type[FaultT], account: str, operation: str = "") -> FaultT | None:
        """Return the first fault of this kind that strikes now, counting the hit, or None."""
        for active in self._active.get(kind, ()):
            fault = active.fault
            if not isinstance(fault, kind) or active.exhausted or not fault.concerns(account, operation):
                continue
            if fault.probability < 1 and self.random.random() >= fault.probability:
                continue
            active.hits += 1
            return fault
        return None
