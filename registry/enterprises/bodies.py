"""What is said about enterprises and their prefixes: requests, records as they are kept, and what is shown."""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated, Final

import msgspec

from registry.store.allotments import Stage
from registry.store.shelf import ONE_LINE

FORMAT: Final = 1

MAX_PREFIXES: Final = 16
"""Prefixes of one enterprise; nearly all have one."""

_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200, pattern=ONE_LINE)]
_Short = Annotated[str, msgspec.Meta(max_length=200, pattern=ONE_LINE)]
_Why = Annotated[str, msgspec.Meta(min_length=1, max_length=1_000)]
Prefix = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
Nature = Annotated[int, msgspec.Meta(ge=1, le=5)]
"""Of an organisation, by the numbers of the field's forms: 1 (state-controlled) to 5 (private, not for profit)."""


class State(IntEnum):
    """How far an enterprise has come. Numbers are stored."""

    APPLIED = 0
    APPROVED = 1
    REFUSED = 2
    CLOSED = 3


# Requests -------------------------------------------------------------------------------------------------


class Contact(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whom to ask."""

    name: _Name
    phone: _Short = ""
    email: _Short = ""


class Application(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An organisation asks to register identifiers here. ``section`` and ``division`` are those of GB/T 4754;
    ``prefix`` is the one that it would like."""

    organisation: _Name
    nature: Nature
    credit_code: _Short
    section: Annotated[str, msgspec.Meta(max_length=4)]
    division: Annotated[str, msgspec.Meta(max_length=4)]
    contact: Contact
    address: _Short = ""
    prefix: Annotated[str, msgspec.Meta(max_length=64)] = ""


class Why(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The reason for a step that needs one."""

    reason: _Why


class Allot(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Give a prefix: this one, or the next free number."""

    prefix: Prefix | None = None


class Transfer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Move a prefix and its records to another node; ``to`` names it for people."""

    to: _Name
    reason: _Why


# Records --------------------------------------------------------------------------------------------------


class Enterprise(msgspec.Struct, array_like=True, frozen=True, kw_only=True):
    """An enterprise under its credit code. ``reason`` is that of the last review; times are in seconds since 1970."""

    format: int = FORMAT
    state: State
    application: Application
    applied: int
    reviewed: int = 0
    reason: str = ""
    prefixes: tuple[str, ...] = ()


class Allotment(msgspec.Struct, array_like=True, frozen=True, kw_only=True):
    """A prefix that an enterprise has. Format and stage come first: readers of the store look at these alone.
    ``before`` is the stage to which a suspended one comes back, ``to`` the node to which it goes."""

    format: int = FORMAT
    stage: Stage
    enterprise: str
    since: int
    changed: int
    reason: str = ""
    before: Stage = Stage.ALLOTTED
    to: str = ""


class Numbering(msgspec.Struct, array_like=True, frozen=True):
    """Where the search for a free number begins. Nothing rests on it but time."""

    format: int
    next: int


# What is shown --------------------------------------------------------------------------------------------


class EnterpriseView(msgspec.Struct, frozen=True, kw_only=True):
    """An enterprise, for those who may see it."""

    credit_code: str
    organisation: str
    nature: Nature
    section: str
    section_name: str
    division: str
    division_name: str
    contact: Contact
    address: str
    wanted_prefix: str
    state: str
    reason: str
    applied: int
    reviewed: int
    prefixes: tuple[str, ...]


class AllotmentView(msgspec.Struct, frozen=True, kw_only=True):
    """A prefix that was given to an enterprise."""

    prefix: str
    enterprise: str
    stage: str
    since: int
    changed: int
    reason: str
    to: str
