"""What a node says is wrong, a program that has loaded nothing but the client can say in words."""

from __future__ import annotations

import subprocess
import sys


def known_after(*modules: str) -> set[str]:
    """The names of all rules that a fresh process knows once it has imported these."""
    said = f"import {', '.join(modules)}; from protocol.errors import Rule; print(*Rule.known)"
    done = subprocess.run([sys.executable, "-c", said], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_a_writer_knows_what_a_registry_may_say() -> None:
    said = known_after("registry.session", "registry.doorway", "registry.followers")
    assert {"minting.no-rule", "series.stands-in-the-way", "template.meanwhile", "registry.put-back"} <= said
    assert said - known_after("registry.client") == set()


def test_who_asks_knows_what_a_resolver_may_say() -> None:
    said = {"history.forgotten", "store.bad-cursor", "store.damaged", "store.failed", "store.no-template"}
    assert said - known_after("resolver.client.client") == set()
