"""The level meter on the terminal."""

import pytest

from slng_sync.cli.meter import Meter
from slng_sync.events import Level


@pytest.mark.parametrize(("peak", "full"), [(-96.0, 0), (-60.0, 0), (-30.0, 10), (-3.0, 19), (0.0, 20)])
def test_it_is_as_long_as_it_is_loud(peak: float, full: int) -> None:
    meter = Meter()
    assert meter.line() == ""
    meter.update(Level(peak - 3, peak))
    assert meter.line() == f"[{'#' * full}{'-' * (20 - full)}]"


def test_that_it_was_too_loud_is_said_for_a_second() -> None:
    meter = Meter()
    meter.update(Level(-3.0, 0.0, clipping=True))
    for _ in range(24):
        meter.update(Level(-30.0, -20.0))
    assert meter.line().endswith("too loud")
    meter.update(Level(-30.0, -20.0))
    assert meter.line().endswith("-]")
