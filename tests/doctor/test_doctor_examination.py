"""The order of the checks, their dependencies, and removal of private data from their results."""

import sys
import threading
from pathlib import Path
from typing import Any, Dict, List

import pytest

from slng_sync import AudioError, ConfigurationError, WaitTimeout
from slng_sync.doctor import FAILED, OK, SKIPPED, Case, Check, examination, examine, installation, microphone
from slng_sync.doctor.check import failed
from slng_sync.doctor.examination import STEPS, Step
from slng_sync.doctor.privacy import Privacy
from slng_sync.microphone.device import Device
from slng_sync.waiting import within

KEY = "sk-never-to-be-seen-1234"


class TestOrder:
    def test_what_a_check_needs_comes_before_it(self) -> None:
        known: List[str] = []
        for step in STEPS:
            assert set(step.needs) <= set(known)
            known.append(step.name)

    def test_what_makes_no_sense_any_more_is_skipped(self, monkeypatch: pytest.MonkeyPatch) -> None:
        ran: List[str] = []

        def first(case: Case) -> Check:
            raise ConfigurationError("It is wrong.")

        def second(case: Case) -> Check:
            raise AssertionError("this was to be skipped")

        def third(case: Case) -> Check:
            return Check("third", OK, "fine")

        steps = (Step(first), Step(second, ("first",)), Step(second, ("second",)), Step(third))
        monkeypatch.setattr(examination, "STEPS", steps)
        found = list(examine(Case(), ran.append))
        assert [check.status for check in found] == [FAILED, SKIPPED, SKIPPED, OK]
        assert {check.detail for check in found[1:3]} == {"it needs first, which failed"}
        assert found[0].cure
        assert ran == ["first", "third"]

    def test_every_check_is_named_as_its_function(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setattr(microphone.Microphone, "devices", staticmethod(list))
        found = list(examine(Case(base_url="ws://127.0.0.1:1")))
        assert [check.name for check in found] == [step.name for step in STEPS]

    def test_a_mistake_is_a_failed_check(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def first(case: Case) -> Check:
            raise KeyError("surprise")

        monkeypatch.setattr(examination, "STEPS", (Step(first),))
        (check,) = examine(Case())
        assert check.status == FAILED
        assert "KeyError" in check.detail and "surprise" in check.detail
        assert isinstance(check.cause, KeyError)


class TestWithin:
    def test_what_comes_in_time(self) -> None:
        assert within(20.0, lambda: 42) == 42

    def test_what_fails(self) -> None:
        with pytest.raises(ZeroDivisionError):
            within(20.0, lambda: 1 // 0)

    def test_what_hangs(self) -> None:
        released = threading.Event()
        with pytest.raises(WaitTimeout, match=r"0\.1 s"):
            within(0.1, lambda: released.wait(20.0))
        released.set()


class TestPrivacy:
    @pytest.fixture(autouse=True)
    def _ann(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        (tmp_path / "ann").mkdir()
        monkeypatch.setenv("HOME", str(tmp_path / "ann"))
        monkeypatch.setenv("USERPROFILE", str(tmp_path / "ann"))
        monkeypatch.setenv("SLNG_API_KEY", f"{KEY}\n")
        monkeypatch.setenv("https_proxy", "http://ann:pass%3Aw%40rd@proxy:3128")

    def clean(self, said: str, **figures: Any) -> Dict[str, Any]:
        check = Privacy().check(Check("any", OK, said, said, figures))
        assert check.detail == check.cure
        return {"said": check.detail, **check.figures}

    def test_secrets(self) -> None:
        said = self.clean(f"the key {KEY}, the proxy's pass:w@rd and pass%3Aw%40rd", deep=[{"key": KEY}])
        assert said == {"said": "the key ***, the proxy's *** and ***", "deep": [{"key": "***"}]}

    def test_the_home(self, tmp_path: Path) -> None:
        said = self.clean(
            f"{tmp_path}/ann/x.py, {tmp_path}/annex, /x{tmp_path}/ann", deep=[{"a": f"{tmp_path}/ann"}], n=1
        )
        assert said == {"said": f"~/x.py, {tmp_path}/annex, /x{tmp_path}/ann", "deep": [{"a": "~"}], "n": 1}

    @pytest.mark.parametrize("home", ["/home/ann", "/Users/ann", "C:\\Users\\ann", "d:/Users/ann"])
    def test_the_homes_of_others(self, home: str) -> None:
        assert self.clean(f"'{home}/x', {home}: no")["said"] == "'~/x', ~: no"

    def test_ordinary_words_stay(self) -> None:
        said = "PyAudio 0.2.14; /usr/lib/python3: connected to api.slng.ai:443 in 12 ms"
        assert self.clean(said, ms=12, addresses=["1.2.3.4"], none=None) == {
            "said": said,
            "ms": 12,
            "addresses": ["1.2.3.4"],
            "none": None,
        }


class TestInstallation:
    def test_what_is_missing_is_named_with_its_purpose(self, monkeypatch: pytest.MonkeyPatch) -> None:
        absent = installation.Package("slng-nothing", "slng_nothing", "x", "nothing at all", "void")
        monkeypatch.setattr(installation, "OPTIONAL", (absent,))
        check = installation.extras(Case())
        assert check.status == OK, "an optional package is no fault"
        assert "without slng-nothing (for nothing at all)" in check.detail
        assert 'pip install "slng-sync[void]"' in check.cure
        assert check.figures["versions"] == {"slng-nothing": None}

    def test_what_is_needed_and_missing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        absent = installation.Package("slng-nothing", "slng_nothing")
        monkeypatch.setattr(installation, "REQUIRED", (absent,))
        check = installation.packages(Case())
        assert check.status == FAILED
        assert check.cure == f"{sys.executable} -m pip install --force-reinstall slng-nothing"

    def test_a_python_that_is_too_old(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(installation, "OLDEST", (99, 0))
        check = installation.system(Case())
        assert check.status == FAILED
        assert "3.8" in check.cure


def test_a_microphone_that_gives_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """The doctor stops a microphone that waits for ever."""

    class Waiting(microphone.Microphone):
        def __iter__(self) -> Any:
            self.stopped = threading.Event()
            assert self.stopped.wait(20.0)
            yield from ()

        def stop(self) -> None:
            self.stopped.set()

    monkeypatch.setattr(microphone, "Microphone", Waiting)
    monkeypatch.setattr(microphone, "LIMIT_SECONDS", 0.1)
    check = microphone.recording(Case(chosen=Device(0, "usb", 48000, 2, "ALSA")))
    assert check.status == FAILED
    assert isinstance(check.cause, AudioError)
    assert "no audio" in check.detail


def test_errors_speak_for_themselves() -> None:
    check = failed("any", AudioError("It is gone.", hint="Look for it."), figures={"seconds": 1})
    assert (check.detail, check.cure) == ("It is gone.", "Look for it.")
    assert check.figures == {"error": "AudioError", "seconds": 1}
