"""Templates of a prefix, by version, in the form of their files."""

from __future__ import annotations

from typing import Annotated

import msgspec

from protocol.errors import BiaoshiError, InvalidInput, Refused
from protocol.limits import MAX_TEMPLATE_BYTES, MAX_TEMPLATE_ITEMS, MAX_TEMPLATE_VERSION
from protocol.status import Status
from protocol.templates import Template
from registry.api import rules
from registry.api.changing import CursorQuery
from registry.api.prefixes import prefix_of
from registry.api.routing import Answer, Call, Route, text_of
from registry.api.writing import Writing
from registry.store.callers.permissions import Operation
from registry.templates.desk import MEANWHILE, Templates, indexes_of
from registry.templates.forms import ItemForm, TemplateForm, form_of, template_of


class TemplateInput(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A template. Items have an index from 2,000 on."""

    name: str
    industry: str = ""
    items: Annotated[list[ItemForm], msgspec.Meta(max_length=MAX_TEMPLATE_ITEMS)]


class DisableInput(msgspec.Struct, forbid_unknown_fields=True):
    """Items to be disabled, by name or index."""

    items: Annotated[list[str], msgspec.Meta(min_length=1, max_length=MAX_TEMPLATE_ITEMS)]


class TemplatesShown(msgspec.Struct):
    """Templates of a prefix by version. `cursor` continues the list, null at its end."""

    templates: list[TemplateForm]
    cursor: str | None


class TemplatesDesk:
    """The operations."""

    def __init__(self, writing: Writing, templates: Templates) -> None:
        self._writing = writing
        self._templates = templates

    async def list(self, call: Call, body: None) -> Answer:
        """A page of all versions."""
        query: CursorQuery = call.query
        prefix = prefix_of(call)
        self._writing.gate(call.caller).require(Operation.TEMPLATE_READ, prefix)
        after = None if query.after is None else _version(query.after)
        found, following = self._templates.page(prefix, after, query.limit)
        cursor = None if following is None else str(following)
        return Answer(200, TemplatesShown([form_of(one) for one in found], cursor))

    async def get(self, call: Call, body: None) -> Answer:
        """One version."""
        prefix = prefix_of(call)
        self._writing.gate(call.caller).require(Operation.TEMPLATE_READ, prefix)
        return Answer(200, form_of(self._templates.template(prefix, _version(text_of(call, "version")))))

    async def put(self, call: Call, body: TemplateInput) -> Answer:
        """Keep a version; one that is there stays as it is, but for items that become disabled."""
        return await self._keep(call, body, _version(text_of(call, "version")))

    async def add(self, call: Call, body: TemplateInput) -> Answer:
        """Keep a template as the next version."""
        prefix = prefix_of(call)
        self._writing.gate(call.caller).require_open(Operation.TEMPLATE_CHANGE, prefix)
        return await self._keep(call, body, self._templates.last(prefix) + 1)

    async def disable(self, call: Call, body: DisableInput) -> Answer:
        """Disable items of a version, for good."""
        prefix, version = prefix_of(call), _version(text_of(call, "version"))
        self._writing.gate(call.caller).require_open(Operation.TEMPLATE_CHANGE, prefix)
        template = self._templates.template(prefix, version)
        return await self._carry_out(template.disable(indexes_of(template, body.items)), prefix)

    async def _keep(self, call: Call, body: TemplateInput, version: int) -> Answer:
        prefix = prefix_of(call)
        self._writing.gate(call.caller).require_open(Operation.TEMPLATE_CHANGE, prefix)
        form = TemplateForm(prefix=prefix, name=body.name, industry=body.industry, items=body.items)
        return await self._carry_out(template_of(form, version), prefix)

    async def _carry_out(self, template: Template, prefix: str) -> Answer:
        write = self._templates.keep(template)
        if write is None:
            return Answer(200, form_of(template))
        result = await self._writing.begin([write], MAX_TEMPLATE_BYTES)
        self._templates.forget(template)
        if isinstance(result, BiaoshiError):
            raise result
        if result[0].status is not Status.OK:
            raise Refused(MEANWHILE, MEANWHILE.status, prefix=prefix, version=template.version)
        return Answer(201 if result[0].version == 1 else 200, form_of(template))


def _version(text: str) -> int:
    """A version in a path or cursor. Raises :class:`InvalidInput`."""
    if text.isascii() and text.isdecimal() and len(text) <= len(str(MAX_TEMPLATE_VERSION)) and int(text):
        return int(text)
    raise InvalidInput(rules.BAD_VERSION, text=text[:80])


def routes(writing: Writing, templates: Templates) -> list[Route]:
    """The routes of this subject."""
    desk = TemplatesDesk(writing, templates)
    every = "/api/v1/prefixes/{prefix}/templates"
    one = every + "/{version}"
    kept = {200: TemplateForm, 201: TemplateForm}
    return [
        Route("GET", every, "list_templates", "List the templates of a prefix", desk.list, {200: TemplatesShown},
              query=CursorQuery),
        Route("POST", every, "add_template", "Keep a template as the next version", desk.add, kept,
              body=TemplateInput),
        Route("GET", one, "get_template", "Get a version of a prefix's template", desk.get, {200: TemplateForm}),
        Route("PUT", one, "put_template", "Keep a template as this version", desk.put, kept, body=TemplateInput),
        Route("POST", one + "/disable", "disable_items", "Disable items of a template, for good", desk.disable,
              {200: TemplateForm}, body=DisableInput),
    ]  # fmt: skip
