"""What can be wrong with a contract, found at start-up, and with a value, found in a request."""

from __future__ import annotations

FIELD_PATH_CHARACTERS_MAX = 200
"""A caller's own field name is shown back to it at most this long."""


class ContractError(Exception):
    """An rpc asks for something that the gateway does not do: named with its reason, and the gateway does not start."""

    def __init__(self, rpc: str, reason: str) -> None:
        super().__init__(f"{rpc}: {reason}")


class FieldFault(Exception):  # noqa: N818  # a finding about a request, which becomes an error only at the edge
    """A value that does not fit its field. Its path grows from the inside out while it passes outwards."""

    def __init__(self, description: str) -> None:
        super().__init__(description)
        self.description = description
        self._steps: list[str] = []

    def inside(self, name: str) -> FieldFault:
        """Say that the fault is inside the field `name`."""
        self._steps.append(f".{name}")
        return self

    def at(self, index: int) -> FieldFault:
        """Say that the fault is in item `index` of a list."""
        self._steps.append(f"[{index}]")
        return self

    @property
    def path(self) -> str:
        """Where the fault is, for example `recipients[3].phone`. Empty for the body itself."""
        return "".join(reversed(self._steps)).removeprefix(".")[:FIELD_PATH_CHARACTERS_MAX]
