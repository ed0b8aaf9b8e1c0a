"""The one table of statuses."""

from __future__ import annotations

from protocol.status import Exit, Status


def test_numbers_names_and_groups() -> None:
    assert len({int(status) for status in Status}) == len(Status)
    groups = {status.name: int(status) // 100 for status in Status}
    assert groups["NOT_FOUND"] == 1
    assert groups["CONFLICT"] == 2
    assert groups["BAD_REQUEST"] == 3
    assert groups["NOT_PERMITTED"] == 4
    assert groups["INTERNAL"] == 5
    assert Status.NOT_FOUND.label == "not_found"


def test_only_an_answer_is_a_success() -> None:
    for status in Status:
        assert (status.http == 200) == (status.exit is Exit.OK) == (status in (Status.OK, Status.STALE))
        assert status.http < 600


def test_sentences_in_both_languages() -> None:
    for status in Status:
        assert status.sentence() == status.en
        assert status.sentence("zh") == status.zh != status.en


def test_a_number_from_the_wire() -> None:
    assert Status.named(100) is Status.NOT_FOUND
    assert Status.named(-1) is Status.named(1 << 70) is Status.INTERNAL
