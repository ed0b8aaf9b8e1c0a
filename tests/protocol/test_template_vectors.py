"""The vectors of templates: against plain MessagePack and Python, and against what registry and resolver say."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote

import msgpack
import pytest

from protocol.computed import ComputedText
from protocol.errors import BiaoshiError, RecordError, Rule
from protocol.kept import read_data
from protocol.messages import Op
from protocol.patterns import compile_pattern
from protocol.templated import Checker
from protocol.templates import Item, Problems, check_template, encode_template, read_template
from registry.rights import Rights
from registry.session import Session
from registry.store.memory import MemoryStore
from resolver.answering import Answerer
from tests.protocol.documentation import PAGE
from tests.protocol.test_operations import OPERATIONS, request, response
from tests.vectors.actors import NOW
from tests.vectors.generate import FACTS, WRITER
from tests.vectors.load import load

VECTORS = load("templates")
TEXT = PAGE.read_text(encoding="utf-8")
PUMP = bytes.fromhex(VECTORS["templates"][0]["bytes"])


def each(name: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("vector", VECTORS[name], ids=lambda one: str(one.get("name") or one)[:40])


@each("templates")
def test_templates(vector: Any) -> None:
    raw = bytes.fromhex(vector["bytes"])
    template = read_template(raw)
    check_template(template)
    assert encode_template(template) == raw
    tag, prefix, version, name, industry, items = msgpack.unpackb(raw)
    assert (tag, prefix, version, name, industry) == (
        1,
        template.prefix,
        template.version,
        template.name,
        template.industry,
    )
    assert {len(item) for item in items} == {17}


@each("bad")
def test_templates_that_are_not_usable(vector: Any) -> None:
    with pytest.raises(Problems) as caught:
        check_template(read_template(bytes.fromhex(vector["bytes"])))
    assert [one.rule.name for one in caught.value.problems] == vector["rules"]


def answered(template: bytes, identifier: str, kept: bytes) -> bytes:
    """What docs/protocol.md says of an answer, in the words of plain MessagePack."""
    version, state, time, (number, pairs) = msgpack.unpackb(kept)
    _, prefix, of_version, _, _, items = msgpack.unpackb(template)
    assert (prefix, of_version) == (identifier.partition("/")[0], number)
    data = dict(pairs)
    values = []
    for index, name, _, _, type_, _, _, _, _, _, value_type, ttl, permissions, readers, computed, _, _ in items:
        if computed:
            fields = {"identifier": identifier, "prefix": prefix, "suffix": identifier.partition("/")[2]}
            if type_ == "url":
                fields = {field: quote(text) for field, text in fields.items()}
            data[index] = computed.format(**fields).encode()
        if index in data and permissions & 2 and not readers:
            value = [index, value_type or name, data[index], ttl, permissions]
            values.append(value if permissions != 14 else value[:4] if ttl != 86_400 else value[:3])
    return msgpack.packb([version, state, time, values])


@each("records")
def test_records(vector: Any) -> None:
    kept, values = bytes.fromhex(vector["body"]), bytes.fromhex(vector["values"])
    assert kept.endswith(values)
    assert values == msgpack.packb([1, [[index, bytes.fromhex(data)] for index, data in vector["data"]]])
    assert answered(PUMP, vector["identifier"], kept).hex() == vector["answered"]
    Checker(read_template(PUMP)).check(values)


@each("refused")
def test_records_that_do_not_follow(vector: Any) -> None:
    with pytest.raises(Problems) as caught:
        Checker(read_template(PUMP)).check(bytes.fromhex(vector["values"]))
    found = [[one.rule.name, one.details.get("item", one.details.get("index"))] for one in caught.value.problems]
    assert found == vector["rules"]


@each("malformed")
def test_bytes_that_are_no_second_form(vector: Any) -> None:
    with pytest.raises(RecordError) as caught:
        read_data(bytes.fromhex(vector["values"]))
    assert caught.value.rule.name == vector["rule"]


@each("computed")
def test_computed_texts(vector: Any) -> None:
    prefix, _, suffix = vector["identifier"].partition("/")
    fields = {"identifier": vector["identifier"], "prefix": prefix, "suffix": suffix}
    if vector["url"]:
        fields = {name: quote(text) for name, text in fields.items()}
    assert vector["text"].format(**fields).encode().hex() == vector["data"]


@each("bad_computed")
def test_texts_that_cannot_be_computed(vector: Any) -> None:
    with pytest.raises(BiaoshiError) as caught:
        ComputedText(vector["text"])
    assert caught.value.rule.name == vector["rule"]


@each("patterns")
def test_patterns(vector: Any) -> None:
    plain = re.compile(vector["pattern"], re.ASCII | re.DOTALL)
    assert {text: bool(plain.fullmatch(text)) for text in vector["texts"]} == vector["texts"]


@each("bad_patterns")
def test_patterns_that_are_refused(vector: Any) -> None:
    with pytest.raises(BiaoshiError) as caught:
        compile_pattern(vector["pattern"])
    assert caught.value.rule.name == vector["rule"]


def test_the_document_names_what_there_is() -> None:
    named = set(re.findall(r"`((?:template|pattern|computed)\.[a-z-]+)`", TEXT))
    assert len(named) > 4
    assert named <= set(Rule.known)
    item = re.search(r"item     = \[([^\]]*)\]", TEXT)
    assert item is not None
    assert [name.strip().replace(" ", "_") for name in item.group(1).split(",")] == list(Item.__struct_fields__)


# What registry and resolver say ----------------------------------------------------------------------


class Visit:
    """A session whose key is proven, where there is one."""

    def __init__(self, *, proven: bool = True) -> None:
        self.store = MemoryStore()
        self.session = Session(self.store, FACTS, Rights({WRITER.public: ["88.118.32001"]}, "88.118"), dict)
        self.session._key = WRITER.public if proven else None

    def ask(self, name: str) -> str:
        answer = self.session.answer(request(name))
        if not isinstance(answer, bytes):
            answer = answer.response(self.store.apply(answer.writes, NOW))  # type: ignore[union-attr]
        assert answer is not None
        return answer.hex()


CASES = [
    # the question, the answer, what was asked before
    ("template", "kept", []),
    ("template", "sent again", ["template"]),
    ("template, an item disabled", "kept", ["template"]),
    ("template, otherwise changed", "refused", ["template"]),
    ("template of another prefix", "refused", []),
    ("template that is not usable", "refused", []),
    ("one template", "shown", ["template"]),
    ("one template", "none", []),
    ("templates", "a page", ["template"]),
    ("write what follows a template", "each its own", ["template"]),
    ("fetch what follows a template", "as it is kept", ["template", "write what follows a template"]),
]


@pytest.mark.parametrize(("name", "said", "before"), CASES)
def test_the_registry(name: str, said: str, before: list[str]) -> None:
    visit = Visit()
    for one in before:
        visit.ask(one)
    assert visit.ask(name) == response(name, said)


def test_a_key_comes_first() -> None:
    assert Visit(proven=False).ask("template") == response("template", "no key proven")


def test_the_resolver() -> None:
    visit = Visit()
    visit.ask("template")
    visit.ask("write what follows a template")
    name = "resolve what follows a template"
    assert Answerer(visit.store, FACTS, lambda: NOW).one(request(name)).hex() == response(name, "expanded")


def test_every_question_is_asked() -> None:
    asked = {(name, said) for name, said, _ in CASES}
    ops = {Op.TEMPLATE, Op.TEMPLATES}
    given = {
        (name, one["name"]) for name, vector in OPERATIONS.items() if vector["op"] in ops for one in vector["responses"]
    }
    assert given - asked == {("template", "no key proven")}
