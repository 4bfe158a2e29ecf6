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
    """Audio for all of WORDS: what is in it does not matter to the script engine."""
    return _recording(tmp_path / "talk.wav", Script.from_text(WORDS).seconds)


@pytest.fixture
def short_recording(tmp_path: Path, gateway: LocalGateway) -> Path:
    """Audio for "Hello there.", which is then all that the gateway says."""
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
    """A gateway that says WORDS; a test may replace its script and its faults."""
    with LocalGateway("script", script=Script.from_text(WORDS)) as gateway:
        yield gateway
        gateway.wait_idle()


@pytest.fixture
def env(gateway: LocalGateway) -> Dict[str, str]:
    """The environment of a program that uses the gateway."""
    return environment(SLNG_BASE_URL=gateway.url, SLNG_API_KEY=KEY)


class VoiceGate:
    """An engine around the script's own that tells when so much audio has been heard."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self._marks: List[Any] = []

    def heard(self, seconds: float) -> threading.Event:
        """An event for the moment when this much audio has come."""
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
    """A function that makes a running gateway for a script, and the `VoiceGate` in it."""
    gateways: List[LocalGateway] = []

    def make(script: Script) -> Any:
        ear = VoiceGate(script)
        gateways.append(LocalGateway(ear).start())
        return gateways[-1], ear

    yield make
    for gateway in gateways:
        gateway.stop()


@pytest.fixture(scope="module")
def microphone() -> Iterator[VirtualMicrophone]:
    with VirtualMicrophone() as microphone:
        yield microphone
