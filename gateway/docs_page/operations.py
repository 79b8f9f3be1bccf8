"""Operations of the document as sections of the page."""

from __future__ import annotations

import json
import re

from gateway.docs_page.html import Html, inline, join, prose, tag
from gateway.docs_page.schema_tables import Document, field_table, parameter_table, type_of

_PARAMETER = re.compile(r"\{([A-Za-z0-9]+)\}")


def operation_section(path: str, http_method: str, operation: Document) -> Html:
    """One operation: what it does, what it takes, what it answers, and how to call it."""
    body = _body_of(operation)
    answer = operation["responses"]["200"]
    problems = [status for status in operation["responses"] if status != "200"]
    return tag(
        "section",
        tag("h3", _badge(http_method), tag("code", path, class_="path")),
        tag("p", inline(operation["summary"] + "."), class_="summary"),
        prose(operation["description"]),
        parameter_table(operation["parameters"]),
        join(tag("h4", "Body"), prose(body["schema"]["description"]), field_table(body["schema"], is_request=True))
        if body
        else "",
        tag("h4", "Answer"),
        tag("p", type_of(answer["content"]["application/json"]["schema"]), ": ", inline(answer["description"])),
        tag("p", "Problems: ", ", ".join(problems), ". See ", tag("a", "problems", href="#errors"), "."),
        tag("pre", tag("code", curl(path, http_method, operation))),
        id=operation["operationId"],
        class_="operation",
    )


def _badge(http_method: str) -> Html:
    return tag("span", http_method.upper(), class_=f"method {http_method}")


def _body_of(operation: Document) -> Document | None:
    body: Document | None = operation.get("requestBody", {}).get("content", {}).get("application/json")
    return body


def curl(path: str, http_method: str, operation: Document) -> str:
    """A call that can be pasted into a shell where $BRANDMESH and $API_KEY are set."""
    examples = {parameter["name"]: parameter.get("example") for parameter in operation["parameters"]}
    filled = _PARAMETER.sub(lambda match: str(examples.get(match[1], match[0])), path)
    lines = [f'curl -X {http_method.upper()} "$BRANDMESH{filled}"']
    if operation["security"]:
        lines.append('-H "Authorization: Bearer $API_KEY"')
    body = _body_of(operation)
    if body is not None:
        example = json.dumps(body["example"], ensure_ascii=False)
        lines += ["-H 'Content-Type: application/json'", f"-d '{example}'"]
    return " \\\n  ".join(lines)
