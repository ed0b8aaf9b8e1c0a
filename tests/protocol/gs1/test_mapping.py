"""The rule of a prefix: every key one identifier, no identifier two keys."""

from __future__ import annotations

from functools import cache
from itertools import product

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from protocol.errors import IdentifierError, Rule
from protocol.gs1 import mapping as rules
from protocol.gs1.application_identifiers import Element
from protocol.gs1.keys import PRIMARY_KEYS, Key, make_key
from protocol.gs1.mapping import MAX_FORMS, Mapping, Place, make_mapping, meet
from protocol.identifiers import Identifier, parse
from protocol.limits import MAX_IDENTIFIER_BYTES
from tests.property.strategies import FEW, MANY
from tests.protocol.gs1.drawing import keys

PREFIX = "88.118.32001"
GTIN = "06901234000016"


def of(*pairs: tuple[str, str]) -> Key:
    return make_key(Element(*pair) for pair in pairs)


def refused(*forms: str, prefix: str = PREFIX) -> Rule:
    with pytest.raises(IdentifierError) as error:
        make_mapping(prefix, forms)
    assert error.value.message("zh") != error.value.message("en")
    return error.value.rule


@pytest.mark.parametrize(
    ("form", "key", "suffix"),
    [
        ("{gtin}", of(("01", GTIN)), GTIN),
        ("{gtin}.{serial}", of(("01", GTIN), ("21", "S.1/2")), f"{GTIN}.S.1/2"),
        ("{gtin=0690123}.{21}", of(("01", GTIN), ("21", "S1")), f"{GTIN}.S1"),
        ("{serial}~{gtin}", of(("01", GTIN), ("21", "S1")), f"S1~{GTIN}"),
        ("{{{gtin}}}", of(("01", GTIN)), f"{{{GTIN}}}"),
        ("{gtin}/{cpv}~{lot}~{ser}", of(("01", GTIN), ("22", "2A"), ("10", "L7"), ("21", "S1")), f"{GTIN}/2A~L7~S1"),
        ("{grai}", of(("8003", "09506000134352A1")), "09506000134352A1"),
        ("箱{sscc}", of(("00", "106141412345678908")), "箱106141412345678908"),
        ("{cpid}.{cpsn}", of(("8010", "9506000#A"), ("8011", "7")), "9506000#A.7"),  # set 39 has no full stop
    ],
)  # fmt: skip
def test_there_and_back(form: str, key: Key, suffix: str) -> None:
    mapping = make_mapping(PREFIX, [form])
    identifier = mapping.identifier(key)
    assert identifier == Identifier(PREFIX, suffix) == parse(f"{PREFIX}/{suffix}")
    assert mapping.key(identifier) == key


def test_several_forms() -> None:
    mapping = make_mapping("88.118.a", ["{gtin}", "{gtin}.{serial}", "{gtin}/{lot}~{serial}", "{gtin}/{lot}"])
    key = of(("01", GTIN), ("10", "L7"), ("21", "S1"))
    assert [str(mapping.identifier(one)) for one in key.walk_up()] == [
        f"88.118.A/{GTIN}/L7~S1", f"88.118.A/{GTIN}/L7", f"88.118.A/{GTIN}",
    ]  # fmt: skip
    for one in key.walk_up():
        assert mapping.key(mapping.identifier(one)) == one


def test_what_no_form_is_for() -> None:
    mapping = make_mapping(PREFIX, ["{gtin=0690123}.{serial}"])
    for key in (of(("01", GTIN)), of(("01", "09506000134352"), ("21", "1")), of(("00", "106141412345678908"))):
        with pytest.raises(IdentifierError) as error:
            mapping.identifier(key)
        assert error.value.rule is rules.NOT_COVERED
    for text in (f"88.118/{GTIN}.S1", f"{PREFIX}/{GTIN}", f"{PREFIX}/{GTIN}.", f"{PREFIX}/06901234000017.S1",
                 f"{PREFIX}/09506000134352.S1", f"{PREFIX}/{GTIN}.{'S' * 21}", f"{PREFIX}/{GTIN}.泵"):  # fmt: skip
        with pytest.raises(IdentifierError) as error:
            mapping.key(parse(text))
        assert error.value.rule is rules.NOT_OF_THE_RULE


@pytest.mark.parametrize(
    ("forms", "rule"),
    [
        ([], rules.NO_FORMS),
        (["{gtin}"] * (MAX_FORMS + 1), rules.TOO_MANY),
        ([""], rules.NO_FORM),
        (["{gtin"], rules.NO_FORM),
        (["{gtin}}"], rules.NO_FORM),
        (["{gtin=}"], rules.NO_FORM),
        (["x"], rules.NO_KEY),
        (["{serial}"], rules.NO_KEY),
        (["{gtin}{gtin}"], rules.NO_KEY),
        (["{gtin}{sscc}"], rules.NO_KEY),
        (["{gtin}.{lot}~{lot}"], rules.NO_KEY),
        (["{sscc}.{serial}"], rules.NO_KEY),
        (["{gtin}.{tpx}~{serial}"], rules.NO_KEY),
        (["{name}"], rules.NO_KEY),
        (["{17}"], rules.NO_KEY),
        (["{gtin}{lot}{serial}"], rules.OPEN_END),
        (["{gtin}{lot}.{serial}"], rules.OPEN_END),
        (["{serial}{gtin}"], rules.OPEN_END),
        (["{grai}x"], rules.OPEN_END),
        (["{gtin=A}"], rules.NO_BEGINNING),
        (["{gtin=069012340000161}"], rules.NO_BEGINNING),
        (["{gtin}" + "x" * 470], rules.TOO_LONG),
        (["{gtin}" + "x" * 4_700], rules.TOO_LONG),
        (["{gtin}", "{gtin}"], rules.SAME_KEY),
        (["{gtin}.{lot}", "{gtin}~{lot}"], rules.SAME_KEY),
        (["{gtin=069}", "a{gtin=0690}"], rules.SAME_KEY),
        (["{gtin}.{lot}", "{gtin}.{serial}"], rules.SAME_SUFFIX),
        (["{gtin}{serial}", "{gtin}.{lot}"], rules.SAME_SUFFIX),
        (["{sscc}", "{gtin}{serial}"], rules.SAME_SUFFIX),
        (["{gsrn}", "{gsrnp}"], rules.SAME_SUFFIX),
        (["{gtin}", "{grai}"], rules.SAME_SUFFIX),
        (["{gtin}", "{grai=1}"], rules.SAME_SUFFIX),  # though no asset begins so: characters decide, not checks
    ],
)  # fmt: skip
def test_rules_that_cannot_be_turned_round(forms: list[str], rule: Rule) -> None:
    assert refused(*forms) is rule


def test_fixed_text_must_be_legal() -> None:
    assert refused("\n{gtin}").name == "identifier.control-character"
    assert refused("{gtin}\udcff").name == "identifier.not-utf8"
    assert refused("{gtin}", prefix="88..1").name == "identifier.empty-segment"


@pytest.mark.parametrize(
    "forms",
    [
        ["{gtin=069}", "{gtin=095}"],
        ["{gsrn}", "P{gsrnp}"],
        ["{gsrn=0}", "{gsrnp=1}"],
        ["{sscc}", "{gtin}{serial=A}"],
        ["{gtin}.{lot}", "{gtin}~{serial}"],
    ],
)
def test_rules_that_can(forms: list[str]) -> None:
    make_mapping(PREFIX, forms)


def test_the_longest_identifier_fits() -> None:
    fixed = "x" * (MAX_IDENTIFIER_BYTES - len(PREFIX) - 1 - 14)
    identifier = make_mapping(PREFIX, ["{gtin}" + fixed]).identifier(of(("01", GTIN)))
    assert len(str(identifier)) == MAX_IDENTIFIER_BYTES
    assert refused("{gtin}x" + fixed) is rules.TOO_LONG


# Any rule --------------------------------------------------------------------------------------------


# Few primary keys, fixed texts and characters, so that what could be taken for something else often is.

VALUES = {
    "01": [GTIN, "16901234000013"],
    "8003": [GTIN, f"{GTIN}.A", f"{GTIN}-"],
    "414": ["9506000134352"],
    "8018": ["069012340000000009"],
}
CODES = st.sampled_from(["01", "01", "01", *VALUES])
FIXED = st.sampled_from(["", ".", ".", "~", "A"])
RARELY = st.sampled_from(["", "", "", "", "A"])
SHORT = ("A", ".", "AA", "A.", ".A", "..")


@cache
def small_world(shape: tuple[str, ...]) -> tuple[Key, ...]:
    """All keys of a shape that have such values."""
    values = product(VALUES[shape[0]], *(SHORT for _ in shape[1:]))
    return tuple(of(*zip(shape, one, strict=True)) for one in values)


@st.composite
def shapes(draw: st.DrawFn) -> list[str]:
    primary = draw(CODES)
    rows = [row for row in PRIMARY_KEYS[primary] if row not in (("7040",), ("8019",))] or [()]
    return [primary, *(code for code in draw(st.sampled_from(rows)) if draw(st.booleans()))]


@st.composite
def forms(draw: st.DrawFn) -> str:
    """A form of any shape, in any order, with anything between; mostly no good."""
    shape = draw(shapes())
    fields = draw(st.just(shape) | st.permutations(shape))
    beginnings = [draw(st.sampled_from(["", "", "", "", "", "0", "1", "A"])) for _ in fields]
    written = [
        f"{{{code}={begin}}}" if begin else f"{{{code}}}" for code, begin in zip(fields, beginnings, strict=True)
    ]
    return draw(RARELY) + "".join(field + draw(FIXED) for field in written[:-1]) + written[-1] + draw(RARELY)


@st.composite
def mappings(draw: st.DrawFn) -> Mapping:
    """Forms that get on with each other, out of some that were drawn."""
    made: list[str] = []
    for form in draw(st.lists(forms(), min_size=1, max_size=6)):
        try:
            make_mapping(PREFIX, [*made, form])
        except IdentifierError:
            continue
        made.append(form)
    assume(made)
    return make_mapping(PREFIX, made)


def identifier_of(mapping: Mapping, key: Key) -> Identifier | None:
    try:
        return mapping.identifier(key)
    except IdentifierError as error:
        if error.rule is not rules.NOT_COVERED:
            raise
        return None


@MANY
@given(mappings())
def test_never_two_keys_one_identifier(mapping: Mapping) -> None:
    by_identifier: dict[Identifier, Key] = {}
    for shape in {form.shape for form in mapping.forms}:
        for key in small_world(shape):
            identifier = identifier_of(mapping, key)
            if identifier is not None:
                assert mapping.key(identifier) == by_identifier.setdefault(identifier, key) == key
                assert sum(form.suffix(key) is not None for form in mapping.forms) == 1
                assert sum(form.key(identifier.suffix) is not None for form in mapping.forms) == 1


@MANY
@given(mappings(), st.lists(keys(CODES), max_size=8))
def test_every_key_there_and_back(mapping: Mapping, some: list[Key]) -> None:
    for key in some:
        identifier = identifier_of(mapping, key)
        if identifier is not None:
            assert parse(str(identifier)) == identifier
            assert mapping.key(identifier) == key


@FEW
@given(mappings(), st.text("0159.~-#AB", max_size=24))
def test_an_identifier_that_has_a_key_is_that_keys(mapping: Mapping, suffix: str) -> None:
    for form in mapping.forms:
        key = form.key(suffix)
        if key is not None:
            assert mapping.identifier(key) == Identifier(PREFIX, suffix)


PLACES = st.lists(
    st.tuples(st.frozensets(st.sampled_from("ab"), min_size=1), st.booleans()).map(lambda pair: Place(*pair)),
    max_size=4,
).map(tuple)


def texts(places: tuple[Place, ...]) -> set[str]:
    """All texts of some places, written out."""
    choices = [[*place.characters, *([""] if place.optional else [])] for place in places]
    return {"".join(one) for one in product(*choices)}


@MANY
@given(PLACES, PLACES)
def test_meeting_is_having_a_text_in_common(one: tuple[Place, ...], other: tuple[Place, ...]) -> None:
    assert meet(one, other) == bool(texts(one) & texts(other))
