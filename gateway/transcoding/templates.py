"""Paths of rpcs: literal segments, `{field}` for one whole segment, and an optional `:verb` at the end.

That is a subset of google.api.http on purpose: what it leaves out (`**`, patterns inside braces, fields of fields)
makes paths that a reader cannot tell apart at a glance.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar
from urllib.parse import unquote_to_bytes

Target = TypeVar("Target")

_LITERAL = re.compile(r"[A-Za-z0-9._~-]+")
_VARIABLE = re.compile(r"\{([A-Za-z][A-Za-z0-9_]*)\}")
_VERB = re.compile(r"(.*?)(?::([A-Za-z][A-Za-z0-9]*))?")


class TemplateError(ValueError):
    """A path is not of the supported form."""


@dataclass(frozen=True, slots=True)
class Variable:
    """One whole segment, taken as the value of a field."""

    field: str


@dataclass(frozen=True, slots=True)
class PathTemplate:
    """A parsed path. `text` is as the contract wrote it."""

    text: str
    segments: tuple[str | Variable, ...]
    verb: str

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields that the path carries, in their order."""
        return tuple(segment.field for segment in self.segments if isinstance(segment, Variable))


def parse_template(text: str) -> PathTemplate:
    """Parse a path of google.api.http. Raises TemplateError."""
    if not text.startswith("/"):
        raise TemplateError(f"path {text} does not begin with /")
    *first, last = text[1:].split("/")
    match = _VERB.fullmatch(last)
    last, verb = match.groups() if match else (last, None)
    template = PathTemplate(text, tuple(_segment(text, part) for part in [*first, last]), verb or "")
    if len(set(template.fields)) != len(template.fields):
        raise TemplateError(f"path {text} names a field twice")
    return template


def _segment(text: str, part: str) -> str | Variable:
    if variable := _VARIABLE.fullmatch(part):
        return Variable(variable[1])
    if _LITERAL.fullmatch(part):
        return part
    raise TemplateError(f"path {text}: segment {part!r} is neither a literal nor one {{field}}")


@dataclass(frozen=True, slots=True)
class Match(Generic[Target]):
    """What a request's path led to: the targets by HTTP method, and the values of its variables in order."""

    targets: Mapping[str, Target]
    values: tuple[str, ...]


@dataclass(slots=True)
class _Node(Generic[Target]):
    literals: dict[str, _Node[Target]] = field(default_factory=dict)
    variable: _Node[Target] | None = None
    targets_by_verb: dict[str, dict[str, Target]] = field(default_factory=dict)


class PathTree(Generic[Target]):
    """Finds the template of a path: a literal goes before a variable, a known verb before a value with a colon."""

    def __init__(self) -> None:
        self._root: _Node[Target] = _Node()

    def add(self, http_method: str, template: PathTemplate, target: Target) -> Target | None:
        """Add a target; answer the one that has this method and path already, and add nothing then."""
        node = self._root
        for segment in template.segments:
            if isinstance(segment, Variable):
                node.variable = node.variable or _Node()
                node = node.variable
            else:
                node = node.literals.setdefault(segment, _Node())
        present = node.targets_by_verb.setdefault(template.verb, {}).setdefault(http_method, target)
        return None if present is target else present

    def match(self, raw_path: bytes) -> Match[Target] | None:
        """Find a path as it came over the wire, still percent-encoded.

        Each segment is decoded by itself, so that an encoded slash or colon is part of a value and never a separator,
        and dots are values as well: nothing is resolved. Raises UnicodeDecodeError when a segment is not UTF-8.
        """
        *first, last = raw_path.split(b"/")[1:] or [b""]
        segments = [_decode(segment) for segment in first]
        head, colon, verb = last.rpartition(b":")
        if colon and (found := _find(self._root, [*segments, _decode(head)], _decode(verb))):
            return found
        return _find(self._root, [*segments, _decode(last)], "")


def _decode(segment: bytes) -> str:
    return (unquote_to_bytes(segment) if b"%" in segment else segment).decode()


def _find(root: _Node[Target], segments: Iterable[str], verb: str) -> Match[Target] | None:
    # Breadth first over the few nodes that fit so far: literals are put before variables at each step.
    nodes: list[tuple[_Node[Target], tuple[str, ...]]] = [(root, ())]
    for segment in segments:
        following: list[tuple[_Node[Target], tuple[str, ...]]] = []
        for node, values in nodes:
            if segment in node.literals:
                following.append((node.literals[segment], values))
            if node.variable is not None and segment:
                following.append((node.variable, (*values, segment)))
        nodes = following
    for node, values in nodes:
        if verb in node.targets_by_verb:
            return Match(node.targets_by_verb[verb], values)
    return None
