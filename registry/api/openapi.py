"""The description of the API, OpenAPI 3.1, made from its routes and the types of their bodies."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

import msgspec

from registry.api.problems import PROBLEM_JSON, Problem
from registry.api.routing import JSON, Route

_REFERENCE: Final = "#/components/schemas/{name}"
_PATH_PARAMETERS: Final = {
    "identifier": "An identifier, percent-encoded: every '/' within it may stand as it is or as %2F.",
    "prefix": "A prefix, like 88.118.32001.",
    "session": "The session that begin_session gave.",
    "code": "The unified social credit code of an organisation.",
    "credential": "The id of a token or key, as it is shown with its identity.",
    "version": "The version of a template.",
    "rule": "The name of a rule of suffixes.",
}
_HEADERS: Final = {
    "If-Match": 'A version between quotation marks, like "3": only if the record has it; or *: only if it is there.',
    "If-None-Match": "For a write *: only if nothing is there. For a read versions that are known already.",
    "Idempotency-Key": "Drawn anew for each request: whoever sends the request again under it gets the first answer.",
}
_NOT_JSON: Final = "One JSON object a line."


def describe(routes: Iterable[Route], version: str, zone: str) -> dict[str, Any]:
    """The whole document."""
    listed = list(routes)
    types = {type_ for route in listed for type_ in (*route.answers.values(), route.body) if type_ is not None}
    ordered = sorted(types, key=str)
    schemas, components = msgspec.json.schema_components([*ordered, Problem], ref_template=_REFERENCE)
    schema_of = dict(zip([*ordered, Problem], schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for route in listed:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, schema_of)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": f"Registration of identifiers below {zone or 'the root'}",
            "version": version,
            "description": "The JSON API of a Biaoshi node. Errors are problem+json (RFC 9457) and name a rule.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(route: Route, schema_of: dict[Any, Any]) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": route.operation,
        "summary": route.summary,
        "parameters": _parameters(route),
        "responses": {
            **{str(status): _answer(route, type_, schema_of) for status, type_ in route.answers.items()},
            "default": {
                "description": "A problem.",
                "content": {PROBLEM_JSON: {"schema": schema_of[Problem]}},
            },
        },
    }
    if route.body is not None:
        described["requestBody"] = {"required": True, "content": {JSON: {"schema": schema_of[route.body]}}}
    elif route.media != JSON:
        schema = {"type": "string", "description": _NOT_JSON + " Each is an Item."}
        described["requestBody"] = {"required": True, "content": {route.media: {"schema": schema}}}
    if not route.is_open:
        described["security"] = [{"bearer": []}]
    return described


def _answer(route: Route, type_: Any, schema_of: dict[Any, Any]) -> dict[str, Any]:
    if type_ is None:
        return {"description": "Nothing more to say."}
    name = getattr(type_, "__name__", "lines")
    if route.answer_media != JSON:
        schema = {"type": "string", "description": f"{_NOT_JSON} Each is of the schema in x-line."}
        return {
            "description": f"{name}, a line for each.",
            "content": {route.answer_media: {"schema": schema, "x-line": schema_of[type_]}},
        }
    return {"description": name, "content": {JSON: {"schema": schema_of[type_]}}}


def _parameters(route: Route) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1},
         "description": _PATH_PARAMETERS.get(name, name)}
        for name in re.findall(r"\{([a-z]+)\}", route.path)
    ]  # fmt: skip
    if route.query is not None:
        schema = msgspec.json.schema(route.query)["$defs"][route.query.__name__]
        found += [
            {"name": name, "in": "query", "required": name in schema.get("required", ()), "schema": type_}
            for name, type_ in schema["properties"].items()
        ]
    found += [
        {"name": name, "in": "header", "required": False, "schema": {"type": "string"}, "description": _HEADERS[name]}
        for name in route.headers
    ]
    return found
