"""Links, link sets and the description, against GS1's schemas."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema_rs import validator_for

from protocol.errors import RecordError, Rule
from protocol.gs1 import link_sets as rules
from protocol.gs1 import link_types
from protocol.gs1.description import PATH, description
from protocol.gs1.digital_links import DigitalLink
from protocol.gs1.link_sets import MAX_LINKS, Context, Link, check_link, default_link, link_set
from protocol.gs1.link_types import LINK_TYPES, VOCABULARY, address, relation, title
from tests.protocol.gs1.drawing import links as digital_links
from tests.vectors.load import load

GS1 = validator_for(load("gs1/gs1-linkset-schema"))
RFC = validator_for(load("gs1/linkset-schema"))
ANCHOR = "https://example.com/01/09506000134352"
PIP = Link("gs1:pip", "https://example.com/pip")

RELATIONS = st.sampled_from(
    [*(f"gs1:{one}" for one in LINK_TYPES if one != "defaultLink"), "describedby", "https://schema.org/image"]
)
LINKS = st.builds(
    Link,
    relation=RELATIONS,
    href=st.tuples(
        st.sampled_from(["http://x.cn", "https://x.cn:8443/a", "https://10.0.0.1/"]),
        st.text("ab/?&=:~泵%", max_size=8).map(lambda text: "/" + quote(text, safe="/?&=:~")),
        st.sampled_from(["", "#top"]),
    ).map("".join),
    title=st.text(max_size=10),
    media_type=st.sampled_from(["", "text/html", "application/ld+json", "application/vnd.x-1"]),
    languages=st.lists(st.sampled_from(["zh", "en", "en-GB"]), max_size=2, unique=True).map(tuple),
    contexts=st.lists(st.text(max_size=5), max_size=2).map(tuple),
    forward_query=st.none() | st.booleans(),
    public=st.none() | st.booleans(),
)


def test_the_schemas_say_what_they_say_elsewhere() -> None:
    assert GS1.is_valid(load("gs1/valid-gs1-example"))
    assert not GS1.is_valid(load("gs1/invalid-gs1-example"))
    assert RFC.is_valid(load("gs1/valid-basic-example"))
    assert not RFC.is_valid(load("gs1/invalid-basic-example"))
    assert GS1.is_valid(load("gs1/modelLinkset"))


@given(digital_links(), st.lists(LINKS, max_size=6), st.text(max_size=10), st.booleans())
def test_link_sets_are_valid(anchor: DigitalLink, some: list[Link], text: str, default: bool) -> None:
    some += [Link("gs1:defaultLink", "https://x.cn/default")] * default
    made = link_set([Context(str(anchor.canonical()), text, tuple(some))])
    assert json.loads(json.dumps(made)) == made
    assert GS1.is_valid(made)
    [context] = made["linkset"]
    shown = {name: targets for name, targets in context.items() if name not in ("anchor", "itemDescription")}
    assert sum(map(len, shown.values())) == len(some) + bool(some and not default)
    expected = default_link(some)
    if expected is not None:
        assert [one["href"] for one in shown[f"{VOCABULARY}defaultLink"]] == [expected.href]
    # The plain form of RFC 9264 has neither descriptions nor GS1's own attributes.
    plain = {"anchor": context["anchor"]} | {
        name: [
            {key: one for key, one in target.items() if key not in ("context", "fwqs", "public")} for target in targets
        ]
        for name, targets in shown.items()
    }
    assert RFC.is_valid({"linkset": [plain]})


def targets_of(context: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    links = {name: targets for name, targets in context.items() if name not in ("anchor", "itemDescription")}
    return [(name, target) for name, targets in links.items() for target in targets]


def said(name: str, target: dict[str, Any]) -> Link:
    languages, contexts = tuple(target.get("hreflang", ())), tuple(target.get("context", ()))
    return Link(name, target["href"], target["title"], target.get("type", ""), languages, contexts)


def test_the_model_of_gs1_can_be_said() -> None:
    """All links of GS1's model, made of ours, are the model, up to order."""
    model = load("gs1/modelLinkset")
    contexts = [
        Context(one["anchor"], one["itemDescription"], tuple(said(name, target) for name, target in targets_of(one)))
        for one in model["linkset"]
    ]
    made = link_set(contexts)
    # Ours names a default for every context; the model has one for the first only.
    assert made["linkset"][1].pop(f"{VOCABULARY}defaultLink")[0]["href"] == "https://example.com/dpp/7132mlkG"
    assert made == model


def test_links_of_another_resolver_can_be_said() -> None:
    entry = load("gs1/test_01_09506000134352")
    some = [
        Link(one["linktype"], one["href"], one["title"], one["type"], tuple(one["hreflang"])) for one in entry["links"]
    ]
    made = link_set([Context(f"https://id.gs1.org{entry['anchor']}", entry["itemDescription"], tuple(some))])
    assert GS1.is_valid(made)
    assert {title(one.relation) for one in some} == {
        "Retailers",
        "Product information page",
        "Recipes",
        "Sustainability",
    }


@pytest.mark.parametrize(
    ("link", "rule"),
    [
        (Link("gs1:pip", "ftp://x.cn"), rules.BAD_TARGET),
        (Link("gs1:pip", "https://"), rules.BAD_TARGET),
        (Link("gs1:pip", "javascript:alert(1)"), rules.BAD_TARGET),
        (Link("gs1:pip", "https://x.cn/a b"), rules.BAD_TARGET),
        (Link("gs1:pip", "https://x.cn/\n"), rules.BAD_TARGET),
        (Link("gs1:pip", "https://x.cn/%"), rules.BAD_TARGET),
        (Link("gs1:pip", "https://x.cn/#a#b"), rules.BAD_TARGET),
        (Link("gs1:pip", "https://x.cn/泵"), rules.BAD_TARGET),
        (Link("gs1:pip", "https://x.cn:port/"), rules.BAD_TARGET),
        (Link("gs1:pip", "https://x.cn", languages=("zh-Hans",)), rules.BAD_LANGUAGE),
        (Link("gs1:pip", "https://x.cn", media_type="html"), rules.BAD_MEDIA_TYPE),
        (Link("PIP", "https://x.cn"), link_types.BAD_RELATION),
        (Link("anchor", "https://x.cn"), link_types.BAD_RELATION),
        (Link("gs1:", "https://x.cn"), link_types.BAD_RELATION),
        (Link("https://x.cn/a-b", "https://x.cn"), link_types.BAD_RELATION),
    ],
)
def test_what_is_no_link(link: Link, rule: Rule) -> None:
    for refuse in (lambda: check_link(link), lambda: link_set([Context(ANCHOR, "", (link,))])):
        with pytest.raises(RecordError) as error:
            refuse()
        assert error.value.rule is rule
        assert error.value.message("zh") != error.value.message("en")


def test_what_is_no_context() -> None:
    for context, rule in (
        (Context("/01/09506000134352", "", (PIP,)), rules.BAD_TARGET),
        (Context(ANCHOR, "", (PIP,) * (MAX_LINKS + 1)), rules.TOO_MANY),
        (Context(ANCHOR, "", (Link("gs1:defaultLink", "https://x.cn"),) * 2), rules.TWO_DEFAULTS),
    ):
        with pytest.raises(RecordError) as error:
            link_set([context])
        assert error.value.rule is rule


def test_default() -> None:
    other = Link("gs1:defaultLink", "https://x.cn/d")
    assert default_link([PIP, other]) == other
    assert default_link([PIP]) == PIP
    assert default_link([]) is None


@pytest.mark.parametrize(
    "text",
    ["gs1:pip", "https://gs1.org/voc/pip", "http://gs1.org/voc/pip", "https://www.gs1.org/voc/pip", "https://ref.gs1.org/voc/pip"],
)  # fmt: skip
def test_one_relation_has_one_spelling(text: str) -> None:
    assert relation(text) == "gs1:pip"
    assert address(text) == "https://ref.gs1.org/voc/pip"
    assert (title(text), title(text, "zh")) == ("Product information page", "产品信息页")


def test_relations_that_are_not_of_gs1_or_not_in_the_table() -> None:
    assert relation("describedby") == address("describedby") == title("describedby") == "describedby"
    assert relation("https://schema.org/image") == "https://schema.org/image"
    assert address("gs1:brandNew") == "https://ref.gs1.org/voc/brandNew"
    assert title("gs1:brandNew") == "gs1:brandNew"
    assert all(english.isascii() and not chinese.isspace() for english, chinese in LINK_TYPES.values())


def test_description() -> None:
    shown = description("Node 118", "https://example.com", terms="https://example.com/terms", contact="Example")
    assert json.loads(json.dumps(shown)) == shown
    assert {"resolverRoot", "supportedPrimaryKeys"} <= set(shown)  # what GS1 wants at least
    assert shown["supportedPrimaryKeys"] == ["all"]
    assert PATH == "/.well-known/gs1resolver"
    assert set(description("x", "https://x.cn")) == set(shown) - {"termsOfUse", "contact"}
