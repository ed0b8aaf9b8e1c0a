"""Templates as files: JSON or TOML, with names for everything and defaults left out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from protocol.errors import RecordError
from protocol.limits import MAX_TEMPLATE_BYTES
from protocol.templates import MALFORMED, Item, ItemFields, Template

MAX_FORM_BYTES: Final = 16 * MAX_TEMPLATE_BYTES
"""Bytes of a file: names and blanks come on top of what is encoded."""


class ItemForm(ItemFields, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One item."""


class TemplateForm(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A template; without a version it is to become the next one."""

    prefix: str
    version: int | None = None
    name: str
    industry: str = ""
    items: list[ItemForm]


def read_form(raw: bytes, *, toml: bool) -> TemplateForm:
    """Read a file. Raises :class:`RecordError`."""
    if len(raw) > MAX_FORM_BYTES:
        raise RecordError(MALFORMED, reason=f"the file has {len(raw)} bytes; at most {MAX_FORM_BYTES} are allowed")
    decode: Callable[..., TemplateForm] = msgspec.toml.decode if toml else msgspec.json.decode
    try:
        return decode(raw, type=TemplateForm)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise RecordError(MALFORMED, reason=str(error)) from None


def template_of(form: TemplateForm, version: int) -> Template:
    """The template, its items in order. Raises :class:`RecordError`."""
    items = sorted((Item(**msgspec.structs.asdict(item)) for item in form.items), key=lambda item: item.index)
    try:
        return msgspec.convert(
            msgspec.to_builtins(Template(form.prefix, version, form.name, form.industry, tuple(items))), Template
        )
    except msgspec.ValidationError as error:
        raise RecordError(MALFORMED, reason=str(error)) from None


def form_of(template: Template) -> TemplateForm:
    """The form of a template."""
    items = [ItemForm(**msgspec.structs.asdict(item)) for item in template.items]
    return TemplateForm(
        prefix=template.prefix,
        version=template.version,
        name=template.name,
        industry=template.industry,
        items=items,
    )


def write_form(template: Template) -> str:
    """A template as JSON that :func:`read_form` takes again."""
    return msgspec.json.format(msgspec.json.encode(form_of(template)), indent=2).decode()
