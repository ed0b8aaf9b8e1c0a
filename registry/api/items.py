"""Writes as JSON: an item of a batch, a line of an import; and what became of each."""

from __future__ import annotations

from typing import Annotated, NamedTuple

import msgspec

from protocol.errors import BiaoshiError, RecordError, Refused, Rule
from protocol.identifiers import normal_text
from protocol.limits import MAX_VALUES
from protocol.status import Status
from registry.api import rules
from registry.intake import MAX_VERSION
from registry.json_records import JsonValue, TemplateVersion, encode_json_values
from registry.store.writes import ABSENT, ANY, Outcome

WriteItem = tuple[bytes, int | None, bytes | int | None]
"""What ``registry.intake`` checks: identifier, what is compared, encoded values or the number of a state."""


class SeriesItem(NamedTuple):
    """The same for a series under its pattern."""

    pattern: bytes
    compare: int | None
    values: bytes | None


class Item(msgspec.Struct, forbid_unknown_fields=True):
    """A record, or a `series` under its pattern, to be registered, or to be withdrawn. What is registered already with
    other content is left alone, unless the request says `update=true`, or `if_version` names the version that is
    replaced (0: none is there). `template` is the version of its prefix's template that the values follow."""

    identifier: str | None = None
    series: str | None = None
    values: Annotated[list[JsonValue], msgspec.Meta(max_length=MAX_VALUES)] | None = None
    template: TemplateVersion | None = None
    withdraw: bool = False
    if_version: Annotated[int, msgspec.Meta(ge=0, le=MAX_VERSION)] | None = None

    @property
    def name(self) -> str:
        """Identifier or pattern, as far as there is one."""
        return self.identifier or self.series or ""


class ItemResult(msgspec.Struct, omit_defaults=True):
    """What became of an item. `outcome` is `ok` or says why nothing was done, `version` is the record's version now;
    `changed` is false where the content was there already."""

    identifier: str
    outcome: str
    version: int | None = None
    changed: bool | None = None
    rule: str | None = None
    detail: str | None = None


def item_write(item: Item, *, update: bool) -> WriteItem | SeriesItem:
    """The write that an item asks for, not yet checked against rights. Raises :class:`BiaoshiError`."""
    if item.withdraw == (item.values is not None) or (item.withdraw and item.template is not None):
        raise RecordError(rules.BAD_ITEM)
    if (item.identifier is None) == (item.series is None):
        raise RecordError(rules.ONE_NAME)
    identifier = b"" if item.identifier is None else normal_text(item.identifier)
    values = None if item.values is None else encode_json_values(item.values, item.template)
    compare = item.if_version
    if compare is None:
        compare = ANY if update or values is None else ABSENT
    if item.series is not None:
        return SeriesItem(item.series.encode(), compare, values)
    return identifier, compare, values


def refusal_of(payload: object) -> BiaoshiError:
    """The error in what the intake gives for a refused item: status, rule and details."""
    match payload:
        case (int(status), [str(name), dict(details)], bool()):
            return Refused(Rule.known[name], Status.named(status), **details)
    raise AssertionError(payload)


def not_carried_out(name: str, outcome: Outcome) -> BiaoshiError:
    """The error that an outcome other than OK is."""
    status = outcome.status
    if not outcome.version:
        return Refused(rules.NOT_REGISTERED, status, identifier=name)
    return Refused(
        rules.NOT_CARRIED_OUT, status, identifier=name, version=outcome.version,
        sentence=status.sentence("en"), sentence_zh=status.sentence("zh"),
    )  # fmt: skip


def result_of(name: str, outcome: Outcome, error: BiaoshiError | None, language: str) -> ItemResult:
    """What became of a write, to be shown."""
    if error is None:
        return ItemResult(name, "ok", outcome.version, outcome.changed)
    return ItemResult(
        name, outcome.status.label, outcome.version or None, None, error.rule.name, error.message(language)
    )


def refused_result(identifier: str, error: BiaoshiError, language: str) -> ItemResult:
    """The same for one that was refused."""
    return ItemResult(identifier, error.status.label, None, None, error.rule.name, error.message(language))
