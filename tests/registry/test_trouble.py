"""What an operator's log says of a store that cannot be written."""

from __future__ import annotations

from structlog.testing import CapturingLogger

from protocol.errors import StoreError
from registry.store.interface import STORE_FULL
from registry.trouble import AGAIN_SECONDS, Trouble


def test_it_is_said_now_and_then_and_its_end_once() -> None:
    log, now = CapturingLogger(), [100.0]
    trouble = Trouble(log, lambda: now[0])  # type: ignore[arg-type]
    trouble.over()
    error = StoreError(STORE_FULL, reason="no space left")
    for _ in range(1_000):
        trouble.failed(error)
    now[0] += AGAIN_SECONDS
    trouble.failed(error)
    trouble.failed(error)
    trouble.over()
    trouble.over()
    trouble.failed(error)
    said = [(call.method_name, call.kwargs["failures"]) for call in log.calls]
    assert said == [("error", 1), ("error", 1_001), ("info", 1_002), ("error", 1)]
    assert "no space left" in log.calls[0].kwargs["reason"]
