"""Which identifier a GS1 key has: the rule of a prefix, in both directions.

A rule is some *forms*, suffixes with fields in braces, each for the keys of one shape::

    {gtin=0690123}             the GTINs of a company, by the digits they begin with
    {gtin=0690123}.{serial}    88.118.32001/06901234000016.S1  is  (01)06901234000016(21)S1
    {gtin=0690123}/{lot}~{serial}

A field is named by its code or a name of it (``keys.NAMES``); ``=`` and a beginning leave it to the values that begin
so. Braces themselves are written twice. A field stands for its value as it is.

No two keys ever have one identifier, and no key two, because a rule is only made where this can be seen from it:

* fields of one form are a primary key and some of its qualifiers, in any order, each once: a key is written whole;
* a field of variable length is followed by nothing or by a character that its values cannot have, such as ``~``: each
  field is found again;
* no suffix is of two forms, decided by what characters may stand where, check digits aside;
* of two forms for one shape some field has beginnings that exclude each other.

Keys of other shapes have no identifier by the rule: a form for each is needed, or one walks up (``Key.walk_up``).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import combinations
from typing import Final, NamedTuple

from protocol.errors import IdentifierError, Rule
from protocol.gs1.application_identifiers import TABLE, Component, Element
from protocol.gs1.keys import NAMES, PRIMARY_KEYS, Key, make_key
from protocol.identifiers import Identifier, normal_prefix_text, normal_text
from protocol.limits import MAX_IDENTIFIER_BYTES
from protocol.status import Status

MAX_FORMS: Final = 16
"""Forms of one rule, any two of which are compared: the shapes of a GTIN's keys are ten."""


def _rule(name: str, en: str, zh: str) -> Rule:
    return Rule(f"gs1-rule.{name}", Status.BAD_IDENTIFIER, en, zh)


NO_FORM: Final = _rule(
    "no-form",
    "'{form}' is no form: fields look like {{gtin}} or {{gtin=0690123}}, and other braces are written twice",
    "“{form}”不是有效的形式：字段写作 {{gtin}} 或 {{gtin=0690123}}，其他花括号请写两遍",
)
NO_KEY: Final = _rule(
    "no-key",
    "the fields of '{form}' are no GS1 key: just one is a primary key, the others are qualifiers of it, each once",
    "“{form}”中的字段不构成 GS1 键：须有且只有一个主键，其余为其限定符，且各出现一次",
)
OPEN_END: Final = _rule(
    "open-end",
    "in '{form}' one cannot tell where {{{field}}} ends: let a character follow it that it cannot have, such as '~'",
    "“{form}”中无法判断 {{{field}}} 在何处结束：请在其后使用该字段不可能含有的字符，例如“~”",
)
NO_BEGINNING: Final = _rule(
    "no-beginning",
    "no value of {{{field}}} begins with '{beginning}'",
    "{{{field}}} 的值不可能以“{beginning}”开头",
)
TOO_LONG: Final = _rule(
    "too-long",
    "identifiers of the form '{form}' can have {length} bytes; at most {limit} are allowed",
    "“{form}”形式的标识可能长达 {length} 字节，超过上限 {limit} 字节",
)
SAME_SUFFIX: Final = _rule(
    "same-suffix",
    "'{one}' and '{other}' can give one suffix to two keys; put different characters before or between their fields",
    "“{one}”与“{other}”可能使两个键得到同一后缀；请在字段之前或之间使用不同的字符",
)
SAME_KEY: Final = _rule(
    "same-key",
    "'{one}' and '{other}' are both for the same keys; keep one, or give them beginnings that exclude each other",
    "“{one}”与“{other}”对应相同的键；请只保留一个，或使用互斥的开头",
)
TOO_MANY: Final = _rule(
    "too-many", "the rule has {count} forms; at most {limit} are allowed", "规则有 {count} 个形式，超过上限 {limit} 个"
)
NO_FORMS: Final = _rule("no-forms", "the rule has no form", "规则没有任何形式")
NOT_COVERED: Final = _rule(
    "not-covered",
    "no form of the rule of {prefix} is for the key {key}",
    "{prefix} 的规则中没有适用于键 {key} 的形式",
)
NOT_OF_THE_RULE: Final = _rule(
    "not-of-the-rule",
    "'{identifier}' is no identifier that the rule gives to a GS1 key",
    "“{identifier}”不是该规则给予 GS1 键的标识",
)

_PIECE: Final = re.compile(r"(?P<text>[^{}]+)|(?P<brace>\{\{|\}\})|\{(?P<field>[A-Za-z0-9]+)(?:=(?P<start>[^{}]+))?\}")


class Place(NamedTuple):
    """What characters may stand at one place of a suffix, and whether it may be left out."""

    characters: frozenset[str]
    optional: bool = False


class Field(NamedTuple):
    """A field of a form."""

    code: str
    beginning: str

    @property
    def components(self) -> tuple[Component, ...]:
        """The format of its values."""
        return TABLE[self.code].components

    @property
    def variable(self) -> bool:
        """Whether its values have different lengths."""
        return any(one.optional or one.least != one.most for one in self.components)

    def places(self) -> list[Place]:
        """Place by place, what its values look like. Only places at the end may be left out."""
        places = [
            Place(characters, component.optional or n >= component.least)
            for component in self.components
            for characters in (frozenset(component.characters),)  # one set for all of them
            for n in range(component.most)
        ]
        if len(self.beginning) > len(places) or any(
            one not in place.characters for one, place in zip(self.beginning, places, strict=False)
        ):
            raise IdentifierError(NO_BEGINNING, field=self.code, beginning=self.beginning[:100])
        return [Place(frozenset(one)) for one in self.beginning] + places[len(self.beginning) :]


@dataclass(frozen=True)
class Form:
    """The suffixes of the keys of one shape; made by :func:`parse_form`. ``parts`` are fields and fixed text."""

    text: str
    parts: tuple[Field | str, ...]
    shape: tuple[str, ...]
    places: tuple[Place, ...]
    pattern: re.Pattern[str]

    @property
    def fields(self) -> dict[str, Field]:
        """The fields by code."""
        return {part.code: part for part in self.parts if isinstance(part, Field)}

    def suffix(self, key: Key) -> str | None:
        """The suffix of a key; None where the form is not for it."""
        values = dict(key.elements)
        if key.shape != self.shape or not self._begin_right(values):
            return None
        return "".join(values[part.code] if isinstance(part, Field) else part for part in self.parts)

    def key(self, suffix: str) -> Key | None:
        """The key that has the suffix; None where it is none of this form."""
        match = self.pattern.fullmatch(suffix)
        if match is None:
            return None
        values = {code: match[f"f{code}"] for code in self.shape}
        if not self._begin_right(values):
            return None
        try:
            return make_key(Element(code, values[code]) for code in self.shape)
        except IdentifierError:  # a check digit, or what else a value must be beyond its characters
            return None

    def _begin_right(self, values: dict[str, str]) -> bool:
        return all(values[code].startswith(field.beginning) for code, field in self.fields.items())


@dataclass(frozen=True)
class Mapping:
    """The rule of a prefix; made by :func:`make_mapping`, which sees to it that it can be turned round."""

    prefix: str
    forms: tuple[Form, ...]

    def identifier(self, key: Key) -> Identifier:
        """The identifier of a key. Raises :class:`IdentifierError` where no form is for it."""
        for form in self.forms:
            suffix = form.suffix(key)
            if suffix is not None:
                return Identifier(self.prefix, suffix)
        raise IdentifierError(NOT_COVERED, prefix=self.prefix, key=str(key))

    def key(self, identifier: Identifier) -> Key:
        """The one key that has an identifier. Raises :class:`IdentifierError` where none has it."""
        for form in self.forms if identifier.prefix == self.prefix else ():
            key = form.key(identifier.suffix)
            if key is not None:
                return key
        raise IdentifierError(NOT_OF_THE_RULE, identifier=str(identifier))


def make_mapping(prefix: str, forms: Iterable[str]) -> Mapping:
    """The rule of a prefix. Raises :class:`IdentifierError`: a form is none, or two keys could have one identifier, or
    one key two."""
    texts = list(forms)
    if not texts:
        raise IdentifierError(NO_FORMS)
    if len(texts) > MAX_FORMS:
        raise IdentifierError(TOO_MANY, count=len(texts), limit=MAX_FORMS)
    normal = normal_prefix_text(prefix)
    made = tuple(_form_below(normal, text) for text in texts)
    for one, other in combinations(made, 2):
        if one.shape == other.shape and not _exclude(one, other):
            raise IdentifierError(SAME_KEY, one=one.text, other=other.text)
        if meet(one.places, other.places):
            raise IdentifierError(SAME_SUFFIX, one=one.text, other=other.text)
    return Mapping(normal, made)


def parse_form(text: str) -> Form:
    """A form, checked. Raises :class:`IdentifierError`."""
    parts = _parts(text)
    fields = [part for part in parts if isinstance(part, Field)]
    shape = _shape(text, [one.code for one in fields])
    for part, following in zip(parts, [*parts[1:], None], strict=True):
        if isinstance(part, Field) and part.variable and following is not None:
            last = part.components[-1].characters
            if isinstance(following, Field) or following[0] in last:
                raise IdentifierError(OPEN_END, form=text, field=part.code)
    places = tuple(
        place
        for part in parts
        for place in (part.places() if isinstance(part, Field) else [Place(frozenset(one)) for one in part])
    )
    pattern = "".join(_group(part) if isinstance(part, Field) else re.escape(part) for part in parts)
    return Form(text, tuple(parts), shape, places, re.compile(pattern))


def _form_below(prefix: str, text: str) -> Form:
    """A form whose suffixes are legal below a prefix."""
    if len(text) > MAX_IDENTIFIER_BYTES:  # before anything is made of it
        raise IdentifierError(TOO_LONG, form=text[:100], length=len(text), limit=MAX_IDENTIFIER_BYTES)
    form = parse_form(text)
    longest = "".join(min(place.characters) for place in form.places)
    length = len(f"{prefix}/{longest}".encode("utf-8", "surrogatepass"))  # text that is no UTF-8 is refused below
    if length > MAX_IDENTIFIER_BYTES:
        raise IdentifierError(TOO_LONG, form=text, length=length, limit=MAX_IDENTIFIER_BYTES)
    normal_text(f"{prefix}/{longest}")  # fixed text may have characters that no identifier has
    return form


def _parts(text: str) -> list[Field | str]:
    parts: list[Field | str] = []
    at = 0
    for piece in _PIECE.finditer(text):
        if piece.start() != at:
            break
        at = piece.end()
        if piece["field"]:
            parts.append(Field(NAMES.get(piece["field"], piece["field"]), piece["start"] or ""))
            continue
        fixed = piece["text"] or piece["brace"][0]
        before = parts[-1] if parts else None
        if isinstance(before, str):
            parts[-1] = before + fixed
        else:
            parts.append(fixed)
    if at != len(text) or not parts:
        raise IdentifierError(NO_FORM, form=text)
    return parts


def _shape(text: str, codes: list[str]) -> tuple[str, ...]:
    """The codes in the order of a key; just one order of them is one."""
    primary = [code for code in codes if code in PRIMARY_KEYS]
    qualifiers = {code for code in codes if code not in PRIMARY_KEYS}
    for row in PRIMARY_KEYS[primary[0]] if len(primary) == 1 else ():
        if qualifiers <= set(row) and len(codes) == len(qualifiers) + 1:
            return (primary[0], *(code for code in row if code in qualifiers))
    raise IdentifierError(NO_KEY, form=text)


def _group(field: Field) -> str:
    return f"(?P<f{field.code}>{''.join(one.pattern for one in field.components)})"


def _exclude(one: Form, other: Form) -> bool:
    """Whether no key is for both forms of one shape: some field cannot begin with both beginnings."""
    for code, field in one.fields.items():
        pair = (field.beginning, other.fields[code].beginning)
        if not pair[0].startswith(pair[1]) and not pair[1].startswith(pair[0]):
            return True
    return False


def meet(one: tuple[Place, ...], other: tuple[Place, ...]) -> bool:
    """Whether some text is of both: a walk over pairs of places, each pair once."""
    waiting, seen = [(0, 0)], {(0, 0)}
    while waiting:
        i, j = waiting.pop()
        if i == len(one) and j == len(other):
            return True
        steps = []
        if i < len(one) and one[i].optional:
            steps.append((i + 1, j))
        if j < len(other) and other[j].optional:
            steps.append((i, j + 1))
        if i < len(one) and j < len(other) and one[i].characters & other[j].characters:
            steps.append((i + 1, j + 1))
        for step in steps:
            if step not in seen:
                seen.add(step)
                waiting.append(step)
    return False
