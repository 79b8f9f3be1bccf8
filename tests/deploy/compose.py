"""Reads compose files as `docker compose` does, as far as deploy/ uses it: variables, several files, `extends`."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

Service = dict[str, Any]

_VARIABLE = re.compile(r"\$\{(?P<name>\w+)(?P<operator>:[-?])(?P<rest>[^}]*)\}")


class MissingVariableError(Exception):
    """A variable that has no default was not given: compose does not start."""


def interpolated(text: str, variables: Mapping[str, str]) -> str:
    """Put values for `${NAME:-default}` and `${NAME:?what it is}`. Raises MissingVariableError."""

    def value(found: re.Match[str]) -> str:
        given = variables.get(found["name"], "")
        if not given and found["operator"] == ":?":
            raise MissingVariableError(found["name"])
        return given or found["rest"]

    result = _VARIABLE.sub(value, text)
    assert "${" not in result, "a form of variable that compose has and this reader lacks"
    return result


def required(text: str) -> set[str]:
    """Name the variables without which compose does not start."""
    return {found["name"] for found in _VARIABLE.finditer(text) if found["operator"] == ":?"}


def services(files: Sequence[Path], variables: Mapping[str, str] | None = None) -> dict[str, Service]:
    """Read the services of files that are laid over each other. Without variables their values stay as written."""
    merged: dict[str, Service] = {}
    for file in files:
        for name, service in _read(file, variables).items():
            merged[name] = _laid_over(merged[name], service) if name in merged else service
    return merged


def _read(file: Path, variables: Mapping[str, str] | None) -> dict[str, Service]:
    # Only values may hold what variables hold, so they are put in after the file is taken apart.
    found = yaml.safe_load(file.read_text())["services"]
    read = found if variables is None else _interpolated_in(found, variables)
    return {name: _extended(file, service, variables) for name, service in read.items()}


def _interpolated_in(value: Any, variables: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {name: _interpolated_in(part, variables) for name, part in value.items()}
    if isinstance(value, list):
        return [_interpolated_in(part, variables) for part in value]
    return interpolated(value, variables) if isinstance(value, str) else value


def _extended(file: Path, service: Service, variables: Mapping[str, str] | None) -> Service:
    if "extends" not in service:
        return service
    extends = service["extends"]
    rest = {key: value for key, value in service.items() if key != "extends"}
    return _laid_over(_read(file.parent / extends["file"], variables)[extends["service"]], rest)


def _laid_over(under: Service, over: Service) -> Service:
    assert over.keys() <= {"environment"}, "only environments are known to be merged"
    merged = copy.deepcopy(under)
    merged["environment"] = {**merged["environment"], **over["environment"]}
    return merged
