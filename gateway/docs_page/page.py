"""The page as a whole."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import resources

from gateway.docs_page.html import Html, inline, join, prose, table, tag
from gateway.docs_page.operations import operation_section
from gateway.docs_page.schema_tables import Document, field_table
from gateway.problems import STATUS_OF_REASON, title_of
from gateway.refusals import REASONS

Operation = tuple[str, str, Document]
"""Path, HTTP method, operation."""


def render_page(document: Document) -> str:
    """Write the page for an OpenAPI document that `gateway.openapi` built."""
    style = Html(resources.files(__package__).joinpath("style.css").read_text(encoding="utf-8"))
    head = tag(
        "head",
        Html('<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'),
        tag("title", f"{document['info']['title']} REST"),
        tag("style", style),
    )
    main = tag("main", _introduction(document), *_tag_sections(document), _schemas(document), _errors(document))
    return "<!doctype html>\n" + tag("html", head, tag("body", _navigation(document), main), lang="en")


def _operations(document: Document) -> Iterator[Operation]:
    for path, methods in document["paths"].items():
        for http_method, operation in methods.items():
            yield path, http_method, operation


def _operations_of(document: Document, tag_name: str) -> list[Operation]:
    return [found for found in _operations(document) if tag_name in found[2]["tags"]]


def _navigation(document: Document) -> Html:
    groups = [
        join(
            tag("p", named["name"], class_="group"),
            tag("ul", *(_link(found) for found in _operations_of(document, named["name"]))),
        )
        for named in document["tags"]
    ]
    fixed = (("#schemas", "Schemas"), ("#errors", "Problems"), ("/openapi.json", "openapi.json"))
    links = tag("ul", *(tag("li", tag("a", text, href=href)) for href, text in fixed))
    return tag("nav", tag("p", tag("a", document["info"]["title"], href="#top"), class_="brand"), *groups, links)


def _link(found: Operation) -> Html:
    _, http_method, operation = found
    badge = tag("span", http_method.upper(), class_=f"method {http_method}")
    return tag("li", tag("a", badge, operation["operationId"], href=f"#{operation['operationId']}"))


def _introduction(document: Document) -> Html:
    schemes = document["components"]["securitySchemes"]
    return tag(
        "section",
        tag("h1", f"{document['info']['title']} REST"),
        prose(document["info"]["description"]),
        tag("h2", "Authorization"),
        prose(schemes["apiKey"]["description"]),
        tag("pre", tag("code", "Authorization: Bearer bm_...")),
        prose(schemes["userToken"]["description"]),
        tag("pre", tag("code", "Authorization: Bearer eyJ...")),
        id="top",
    )


def _tag_sections(document: Document) -> Iterator[Html]:
    for named in document["tags"]:
        yield tag("h2", named["name"], id=named["name"])
        yield prose(named["description"])
        for found in _operations_of(document, named["name"]):
            yield operation_section(*found)


def _schemas(document: Document) -> Html:
    schemas = document["components"]["schemas"]
    requests = _names_in_requests(document)
    sections = [
        tag(
            "section",
            tag("h3", name),
            prose(schema.get("description", "")),
            field_table(schema, is_request=name in requests),
            id=f"schema-{name}",
        )
        for name, schema in schemas.items()
    ]
    return join(tag("h2", "Schemas", id="schemas"), *sections)


def _names_in_requests(document: Document) -> set[str]:
    """Names of schemas that no unknown field may be put into: those of requests."""
    schemas = document["components"]["schemas"].items()
    return {name for name, schema in schemas if schema.get("additionalProperties") is False}


def _errors(document: Document) -> Html:
    rows: list[tuple[str, ...]] = [
        (tag("code", reason, id=f"error-{reason}"), str(status), inline(meaning))
        for reason, (status, meaning) in REASONS.items()
    ]
    told: dict[str, list[str]] = {}
    for named in document["tags"]:
        for reason in named["x-reasons"]:
            told.setdefault(reason, []).append(named["name"])
    rows += [
        (tag("code", reason, id=f"error-{reason}"), str(STATUS_OF_REASON.get(reason, "")), _told_by(reason, services))
        for reason, services in sorted(told.items())
        if reason not in REASONS
    ]
    text = "A problem's `reason` is one of these. `detail` says what happened and what to do."
    heading = tag("h2", "Problems", id="errors")
    return join(heading, tag("p", inline(text)), table(("reason", "status", "meaning"), rows))


def _told_by(reason: str, services: list[str]) -> Html:
    return join(f"{title_of(reason)}. Told by {', '.join(services)}.")
