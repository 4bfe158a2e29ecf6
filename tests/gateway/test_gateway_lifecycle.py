"""Start, stop, custom engines, and the pytest fixture."""

import contextlib
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, List

import pytest
from raw_client import CLOSE, chunks, finals, reson8, silence, soniox, text

import slng_sync.gateway as gateway_package
from slng_sync.audio.format import AudioFormat
from slng_sync.errors import ConfigurationError
from slng_sync.gateway import HeardWord, LocalGateway, StreamOptions, Update
from slng_sync.gateway.resample import Resampler

pytest_plugins = ["pytester"]


@pytest.fixture(autouse=True)
def _package_can_be_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the programs that a test starts import the package in any folder."""
    monkeypatch.setenv("PYTHONPATH", str(Path(gateway_package.__file__).parents[2]))


def test_stop_can_be_called_at_any_time() -> None:
    gateway = LocalGateway("script")
    gateway.stop()
    gateway.start()
    assert gateway.start() is gateway and gateway.running
    gateway.stop()
    gateway.stop()
    assert not gateway.running
    with gateway:
        assert gateway.running
    with LocalGateway("script") as other:
        other.stop()


def test_a_stop_closes_open_connections_with_1001() -> None:
    with LocalGateway("script") as gateway:
        with soniox(gateway) as client:
            client.send(silence(0.5)).receive()
            threading.Thread(target=gateway.stop).start()
            client.receive_all()
            assert client.close_code == 1001
        assert gateway.connections[0].wait_closed()


def test_a_port_in_use_is_raised() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        gateway = LocalGateway("script", port=taken.getsockname()[1])
        with pytest.raises(OSError, match="in use"):
            gateway.start()
        assert not gateway.running


def test_many_gateways_and_connections() -> None:
    with LocalGateway("script") as one, LocalGateway("script") as two:
        assert one.url != two.url
        for _ in range(20):
            with soniox(one) as client:
                assert text(client.send(silence(1), "").receive_all()) == "one two"
        assert one.wait_idle() and len(one.connections) == 20 and two.connections == []


def test_a_missing_package_raises_with_an_install_hint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigurationError, match=r'pip install "slng-sync\[gateway\]"'):
        LocalGateway("script")


def test_importing_the_gateway_loads_neither_websockets_nor_the_recogniser() -> None:
    names = ("websockets", "pocketsphinx", "numpy")
    program = f"import sys, slng_sync.gateway; print([each for each in {names} if each in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", program], text=True).strip() == "[]"


def test_a_program_that_forgets_to_stop_its_gateway_still_ends() -> None:
    program = "from slng_sync.gateway import LocalGateway; LocalGateway().start()"
    subprocess.run([sys.executable, "-c", program], check=True, timeout=20)


class Counting:
    """An engine whose only word is the length of the audio. It fails after three seconds."""

    abilities = frozenset({"diarization"})
    closed: List[bool] = []

    def __init__(self, audio_format: AudioFormat, options: StreamOptions) -> None:
        self.format = audio_format
        self.frames = 0

    def audio(self, pcm: bytes) -> List[Update]:
        self.frames += len(pcm) // self.format.frame_bytes
        if self.frames > 48000:
            raise ValueError("too much")
        return [Update(self.frames / self.format.sample_rate)]

    def finalize(self) -> List[Update]:
        return []

    def end(self) -> List[Update]:
        seconds = self.frames / self.format.sample_rate
        return [Update(seconds, final=(HeardWord(f"{seconds:g}s", 0.0, seconds),))]

    def close(self) -> None:
        self.closed.append(True)


def test_a_custom_engine() -> None:
    Counting.closed.clear()
    with LocalGateway(Counting) as gateway:
        with soniox(gateway, enable_speaker_diarization=True) as client:
            assert text(client.send(silence(1), "").receive_all()) == "1s"
        with reson8(gateway) as client:
            assert finals(client.send(*chunks(silence(2)), CLOSE).receive_all()) == ["2s"]
        with soniox(gateway, translation={"type": "one_way", "target_language": "fr"}) as client:
            assert "not supported" in client.receive_all()[0]["error_message"]
        assert gateway.wait_idle() and len(Counting.closed) == 2


def test_an_engine_that_fails_ends_its_stream(caplog: pytest.LogCaptureFixture) -> None:
    with LocalGateway(Counting) as gateway:
        with soniox(gateway) as client:
            assert client.send(silence(4)).receive_all()[-1]["error_code"] == 500
        with reson8(gateway) as client:
            assert client.send(silence(4)).receive_all()[-1]["code"] == "provider_error"
        assert gateway.wait_idle() and gateway.breaches == []
    assert "engine of connection 1 raised an error" in caplog.text


def test_a_breach_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with LocalGateway("script") as gateway, soniox(gateway) as client:
        client.send("").receive_all()
    assert "The client broke the protocol on connection 1" in caplog.text


def test_audio_is_kept_up_to_a_limit() -> None:
    with LocalGateway("script", keep_audio=0.5) as gateway, soniox(gateway) as client:
        client.send(*chunks(silence(1)), "").receive_all()
        assert len(gateway.connections[0].audio) == 16000 and gateway.connections[0].audio_seconds == 1.0


def test_the_fixture_yields_a_gateway_and_fails_over_breaches(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Without autoload the test is the same whether the package is installed, with its plugin, or not.
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    pytester.makepyfile(
        """
        import pytest, websocket
        from slng_sync.gateway import Script

        @pytest.mark.slng_gateway(script=Script.from_text("turn on the light."))
        def test_good(slng_gateway):
            assert slng_gateway.running and slng_gateway.script.text == "turn on the light."

        def knock(gateway):
            with pytest.raises(websocket.WebSocketBadStatusException):
                websocket.create_connection(gateway.url + "/nowhere", suppress_origin=True)

        def test_bad(slng_gateway):
            knock(slng_gateway)

        @pytest.mark.slng_gateway(allow_breaches=True)
        def test_allowed(slng_gateway):
            knock(slng_gateway)
        """
    )
    result = pytester.runpytest_subprocess("-p", "slng_sync.gateway.fixture", "--strict-markers")
    result.assert_outcomes(passed=3, errors=1)
    result.stdout.fnmatch_lines(["*The client broke the protocol*unknown path /nowhere*"])


@pytest.mark.parametrize("rate", [8000, 16000, 22050, 44100, 48000])
def test_the_chunk_size_does_not_change_the_resampled_audio(rate: int) -> None:
    np: Any = pytest.importorskip("numpy")
    tone = (10000 * np.sin(2 * np.pi * 440 * np.arange(rate) / rate)).astype("<i2")
    stereo = np.repeat(tone, 2).tobytes()
    whole, pieces = Resampler(rate, 2), Resampler(rate, 2)
    expected = whole.convert(stereo) + whole.flush()
    parts = [pieces.convert(piece) for piece in chunks(stereo, 4 * 337)]
    assert b"".join(parts) + pieces.flush() == expected
    result = np.frombuffer(expected, "<i2").astype(float)
    perfect = 10000 * np.sin(2 * np.pi * 440 * np.arange(len(result)) / 16000)
    middle = slice(200, -200)
    assert len(result) == 16000 and np.abs(result - perfect)[middle].max() < 5


def test_a_stop_does_not_wait_for_a_client_that_has_stopped_reading() -> None:
    with LocalGateway("script") as gateway, soniox(gateway) as client:
        client.send(silence(0.5)).receive()
        began = time.monotonic()
        gateway.stop()
        assert time.monotonic() - began < 2.0


@pytest.mark.parametrize("seconds", [0.0, 0.1], ids=["just connected", "idle"])
def test_a_client_without_a_request_is_dropped(seconds: float) -> None:
    """The gateway's thread ends and its sockets are closed. The fixture in conftest.py checks for leaks."""
    with LocalGateway("script") as server:
        host, _, port = server.url.replace("ws://", "").partition(":")
        with socket.create_connection((host, int(port)), timeout=10) as silent:
            time.sleep(seconds)
            server.stop()
            assert "slng-gateway" not in [thread.name for thread in threading.enumerate()]
            # A connection that was not accepted yet is reset.
            with contextlib.suppress(ConnectionResetError):
                assert silent.recv(1) == b""
