import struct
import threading
import wave
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List

import pytest
from command import KEY, environment
from virtual_microphone import VirtualMicrophone

from slng_sync.gateway import LocalGateway, Script

WORDS = "Hello there. This is a test. And so it ends."


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """Return a recording long enough for all of WORDS. The script engine ignores its content."""
    return _recording(tmp_path / "talk.wav", Script.from_text(WORDS).seconds)


@pytest.fixture
def short_recording(tmp_path: Path, gateway: LocalGateway) -> Path:
    """Return a recording for "Hello there.", and make that the whole script of the gateway."""
    gateway.script = Script.from_text("Hello there.")
    return _recording(tmp_path / "short.wav", gateway.script.seconds)


def _recording(path: Path, seconds: float) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16000)
        file.writeframes(struct.pack("<h", 300) * int(16000 * seconds))
    return path


@pytest.fixture
def gateway() -> Iterator[LocalGateway]:
    """A gateway that transcribes WORDS. A test may replace its script and its faults."""
    with LocalGateway("script", script=Script.from_text(WORDS)) as gateway:
        yield gateway
        gateway.wait_idle()


@pytest.fixture
def env(gateway: LocalGateway) -> Dict[str, str]:
    """Return the environment of a program that uses the gateway."""
    return environment(SLNG_BASE_URL=gateway.url, SLNG_API_KEY=KEY)


class EngineProbe:
    """A wrapper of the script engine that sets events at given positions of the received audio."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self._marks: List[Any] = []

    def received(self, seconds: float) -> threading.Event:
        """Return an event that is set once this much audio was received."""
        event = threading.Event()
        self._marks.append((seconds, event))
        return event

    def __call__(self, audio_format: Any, options: Any) -> Any:
        from slng_sync.gateway.script import ScriptEngine

        engine = ScriptEngine(self.script, audio_format, options)
        inner = engine.audio

        def audio(pcm: bytes) -> Any:
            updates = inner(pcm)
            for seconds, event in self._marks:
                if engine.position >= seconds:
                    event.set()
            return updates

        engine.audio = audio  # type: ignore[method-assign]
        return engine


@pytest.fixture
def listening(recording: Path) -> Iterator[Callable[[Script], Any]]:
    """A function that starts a gateway for a script and returns it with its ``EngineProbe``."""
    gateways: List[LocalGateway] = []

    def make(script: Script) -> Any:
        probe = EngineProbe(script)
        gateways.append(LocalGateway(probe).start())
        return gateways[-1], probe

    yield make
    for gateway in gateways:
        gateway.stop()


@pytest.fixture(scope="module")
def microphone() -> Iterator[VirtualMicrophone]:
    with VirtualMicrophone() as microphone:
        yield microphone
