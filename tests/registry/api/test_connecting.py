"""What commands show of an answer: to people, and to programs."""

from __future__ import annotations

import json

from registry.api.connecting import shown


def test_people_are_shown_dates_and_what_says_something() -> None:
    view = {"prefix": "88.118.32001", "since": 1_795_868_430, "changed": True, "reason": "", "count": 12, "groups": []}
    assert shown(view, as_json=False).splitlines() == [
        "prefix   88.118.32001",
        "since    2026-11-28 12:20:30 UTC",
        "changed  true",
        "count    12",
    ]


def test_programs_are_given_what_was_answered() -> None:
    view = {"since": 1_795_868_430, "reason": ""}
    assert json.loads(shown(view, as_json=True)) == view
