"""``slng-sync doctor``: tests cause each problem and check what the doctor reports."""

import json
import math
import shlex
import socket
import struct
import sys
from contextlib import closing
from pathlib import Path
from typing import Any, Dict, Iterator, List

import pytest
from command import KEY, environment, interrupt, run, shadow, slng_sync, started
from screen import on_terminal
from virtual_microphone import VirtualMicrophone

from slng_sync import Microphone
from slng_sync.gateway import Faults, LocalGateway, Script

NAMES = "system packages extras microphones recording key gateway proxy dns tcp tls session".split()
PASSWORD = "never-to-be-seen-either"
UNREACHABLE = "ws://127.0.0.1:1"


def lines_of(text: str) -> Dict[str, List[str]]:
    """Return the lines of each check by name: the result, then its cures."""
    found: Dict[str, List[str]] = {}
    for line in text.split("\n\n")[0].splitlines():
        if line.startswith(" "):
            found[list(found)[-1]].append(line.strip())
        else:
            status, name, detail = line.split(maxsplit=2)
            found[name.rstrip(":")] = [f"{status} {detail}"]
    return found


def report_of(*arguments: object, **how: Any) -> Dict[str, Any]:
    """Run the doctor with ``--json``. Return its exit code and the checks by name."""
    done = run("doctor", "--json", *arguments, **how)
    document = json.loads(done.stdout)
    checks = {check["name"]: check for check in document["checks"]}
    assert document["ok"] == (done.returncode == 0)
    assert all(check["cure"] for check in checks.values() if check["status"] in ("failed", "warning"))
    assert KEY not in done.stdout + done.stderr and PASSWORD not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return {"code": done.returncode, **checks}


def with_sound(env: Dict[str, str]) -> Dict[str, str]:
    """Return ``env`` with the settings of the current virtual microphone."""
    return {**env, **environment()}


def tone(amplitude: float, seconds: float = 30.0) -> bytes:
    """Return a tone of 440 Hz at 16 kHz, clipped if it is too loud."""
    second = [math.sin(2 * math.pi * 440 * at / 16000) * amplitude for at in range(16000)]
    limited = [max(-32768, min(32767, round(sample))) for sample in second]
    return struct.pack(f"<{len(limited)}h", *limited) * int(seconds)


@pytest.fixture
def playing(microphone: VirtualMicrophone) -> Iterator[Any]:
    """A function that plays a tone into the microphone until the test ends. Returns once it is recorded."""
    players: List[Any] = []

    def play(amplitude: float) -> None:
        players.append(microphone.play_pcm(tone(amplitude)))
        heard: Any = iter(Microphone())
        with closing(heard):
            assert any(any(piece) for piece in heard)

    yield play
    for player in players:
        player.kill()
        player.wait()


class TestAllIsWell:
    def test_each_check_is_a_line(
        self, microphone: VirtualMicrophone, playing: Any, env: Dict[str, str]
    ) -> None:
        playing(3000)
        done = run("doctor", env=with_sound(env))
        found = lines_of(done.stdout)
        assert list(found) == NAMES
        assert [said[0].split()[0] for said in found.values()] == ["ok"] * len(NAMES), done.stdout
        assert "#" in found["recording"][0] and "dBFS" in found["recording"][0]
        assert "finalize" in found["session"][0]
        assert done.stdout.endswith("\nAll checks passed.\n")
        assert done.returncode == 0

    def test_without_a_key_by_the_local_gateway(self) -> None:
        done = run("doctor", "--local", "--no-microphone")
        found = lines_of(done.stdout)
        # The recogniser may be slow on a busy machine. Then the doctor warns.
        assert found["session"][0].split()[0] in ("ok", "warning")
        assert found["recording"] == ["skipped --no-microphone"]
        assert "--local" in found["gateway"][0]
        assert (done.returncode, done.stderr) == (0, "")

    @pytest.mark.parametrize("model", ["soniox", "reson8"])
    def test_the_figures(self, model: str, env: Dict[str, str]) -> None:
        found = report_of("--no-microphone", "--model", model, env=env)
        assert found["code"] == 0
        session = found["session"]
        assert session["status"] == "ok", session
        assert session["model"].startswith(model)
        assert session["ready_ms"] >= 0 and session["finalize_ms"] >= 0
        assert found["packages"]["versions"]["numpy"]
        assert found["system"]["python"] == ".".join(map(str, sys.version_info[:3]))
        assert found["key"]["set"] is True

    def test_on_a_terminal_it_asks_to_speak(
        self, microphone: VirtualMicrophone, playing: Any, env: Dict[str, str]
    ) -> None:
        playing(3000)
        with on_terminal(slng_sync("doctor"), with_sound(env)) as terminal:
            terminal.read_until(lambda screen: "say something" in screen.text and "#" in screen.text)
            shown = terminal.read_to_end()
        assert "say something" not in shown
        assert list(lines_of(shown.replace("\r", ""))) == NAMES


class TestMicrophone:
    def test_muted(self, microphone: VirtualMicrophone, playing: Any, env: Dict[str, str]) -> None:
        playing(3000)
        microphone.mute()
        try:
            found = report_of(env=with_sound(env))
        finally:
            microphone.mute(False)
        assert found["code"] == 4
        assert found["recording"]["status"] == "failed"
        assert "digital silence" in found["recording"]["detail"]
        assert "muted" in found["recording"]["cure"]
        assert found["session"]["status"] == "ok", "what has nothing to do with it goes on"

    @pytest.mark.parametrize(("amplitude", "said"), [(10, "too quiet"), (100000, "too loud")])
    def test_too_quiet_and_too_loud(
        self, amplitude: int, said: str, microphone: VirtualMicrophone, playing: Any, env: Dict[str, str]
    ) -> None:
        playing(amplitude)
        found = report_of(env=with_sound(env))
        assert found["code"] == 0
        assert found["recording"]["status"] == "warning"
        assert said in found["recording"]["detail"]
        assert found["recording"]["clipping"] is (said == "too loud")

    def test_unplugged(self, env: Dict[str, str]) -> None:
        with VirtualMicrophone() as microphone:
            microphone.unplug()
            found = report_of(env=with_sound(env))
        assert found["code"] == 4
        wrong = [found[name] for name in ("microphones", "recording") if found[name]["status"] == "failed"]
        assert wrong and "microphone" in wrong[0]["detail"].lower()

    def test_stalled(self, env: Dict[str, str]) -> None:
        with VirtualMicrophone() as microphone:
            microphone.suspend()
            found = report_of(env=with_sound(env))
        assert found["code"] == 4
        assert found["recording"]["status"] == "failed"
        assert "no audio" in found["recording"]["detail"]

    def test_none_of_that_name(self, microphone: VirtualMicrophone, env: Dict[str, str]) -> None:
        found = report_of("--device", "studio", env=with_sound(env))
        assert found["code"] == 4
        assert "'studio'" in found["microphones"]["detail"]
        assert "default" in found["microphones"]["cure"]
        assert found["microphones"]["devices"]
        assert found["recording"]["status"] == "skipped"

    def test_without_pyaudio(self, env: Dict[str, str], tmp_path: Path) -> None:
        found = report_of(env={**env, **shadow(tmp_path, "pyaudio")})
        assert found["code"] == 4
        assert found["extras"]["status"] == "warning"
        assert "slng-sync[mic]" in found["microphones"]["cure"]


class TestKey:
    def test_none(self) -> None:
        found = report_of("--no-microphone", "--base-url", UNREACHABLE)
        assert found["code"] == 5
        assert found["key"]["status"] == "failed" and found["key"]["set"] is False
        assert found["session"]["status"] == "skipped" and "key" in found["session"]["detail"]

    @pytest.mark.parametrize("odd", [f"{KEY}\n", f" {KEY}", f"Bearer {KEY}"])
    def test_one_that_cannot_be_right(self, odd: str, gateway: LocalGateway) -> None:
        found = report_of("--no-microphone", SLNG_API_KEY=odd, SLNG_BASE_URL=gateway.url)
        assert found["code"] == 5
        assert found["key"]["status"] == "failed" and found["key"]["set"] is True

    def test_one_in_quotes(self, gateway: LocalGateway) -> None:
        found = report_of("--no-microphone", SLNG_API_KEY=f'"{KEY}"', SLNG_BASE_URL=gateway.url)
        assert found["key"]["status"] == "warning" and "quotation" in found["key"]["detail"]
        assert found["session"]["status"] == "ok", "the gateway has the last word"

    @pytest.mark.parametrize("when", ["at_upgrade", "in_band"])
    def test_a_refused_one(self, when: str, gateway: LocalGateway, env: Dict[str, str]) -> None:
        gateway.faults = Faults(key_refused=when)
        found = report_of("--no-microphone", env=env)
        assert found["code"] == 5
        assert found["session"]["status"] == "failed"
        assert "API key" in found["session"]["cure"]


class TestGateway:
    def test_no_credit(self, gateway: LocalGateway, env: Dict[str, str]) -> None:
        gateway.faults = Faults(upgrade_status=402)
        found = report_of("--no-microphone", env=env)
        assert (found["code"], found["session"]["error"]) == (1, "QuotaError")
        assert "credit" in found["session"]["cure"]

    @pytest.mark.parametrize(
        "wrong",
        [
            ["--model", "whisper"],
            ["--model", "reson8", "--world-part", "na"],
            ["--base-url", "https://api.slng.ai"],
            ["--base-url", "wss://ann:secret@api.slng.ai"],
        ],
    )
    def test_what_is_wrong_usage(self, wrong: List[str]) -> None:
        found = report_of("--no-microphone", *wrong, SLNG_API_KEY=KEY)
        assert found["code"] == 2
        assert found["gateway"]["status"] == "failed"
        assert {found[name]["status"] for name in ("proxy", "dns", "tcp", "tls", "session")} == {"skipped"}

    def test_nothing_listens(self) -> None:
        found = report_of("--no-microphone", "--base-url", UNREACHABLE, SLNG_API_KEY=KEY)
        assert found["code"] == 1
        assert "refused" in found["tcp"]["detail"]
        assert "No server listens" in found["tcp"]["cure"]

    def test_a_name_that_does_not_exist(self) -> None:
        found = report_of("--no-microphone", "--base-url", "wss://gateway.invalid", SLNG_API_KEY=KEY)
        assert found["code"] == 1
        assert "gateway.invalid" in found["dns"]["detail"]
        assert found["tcp"]["detail"] == "it needs dns, which failed"

    def test_a_server_that_is_ready_never(self, gateway: LocalGateway, env: Dict[str, str]) -> None:
        gateway.faults = Faults(ready="never")
        found = report_of("--no-microphone", "--model", "reson8", env=env)
        assert found["code"] == 1
        assert "ready" in found["session"]["detail"]

    def test_an_untrusted_certificate(self, server_context: Any) -> None:
        script = Script.from_text("Hello there.")
        with LocalGateway("script", script=script, tls=server_context) as gateway:
            found = report_of("--no-microphone", SLNG_BASE_URL=gateway.url, SLNG_API_KEY=KEY)
        assert found["code"] == 1
        assert found["tls"]["status"] == "failed"
        assert "trustme" in found["tls"]["cure"] and "SSL_CERT_FILE" in found["tls"]["cure"]
        assert found["session"]["status"] == "skipped"

    def test_an_authority_that_is_named(self, server_context: Any, ca_file: str) -> None:
        script = Script.from_text("Hello there.")
        with LocalGateway("script", script=script, tls=server_context) as gateway:
            named = {"SLNG_BASE_URL": gateway.url, "SLNG_API_KEY": KEY, "SSL_CERT_FILE": ca_file}
            found = report_of("--no-microphone", **named)
        assert found["code"] == 0
        assert found["tls"]["version"].startswith("TLSv1.")
        assert "trustme" in found["tls"]["issuer"]
        assert found["session"]["status"] == "ok", found["session"]


class TestSecrets:
    def test_the_password_of_a_proxy(self) -> None:
        proxy = f"http://ann:{PASSWORD}@127.0.0.1:1"
        found = report_of("--no-microphone", https_proxy=proxy, SLNG_API_KEY=KEY)
        assert found["code"] == 1
        assert found["proxy"]["proxy"] == "127.0.0.1:1" and found["proxy"]["has_password"] is True
        assert found["tcp"]["status"] == "failed"
        assert "https_proxy" in found["tcp"]["cure"] and "NO_PROXY" in found["tcp"]["cure"]

    def test_a_proxy_of_another_kind(self) -> None:
        proxy = f"socks5://ann:{PASSWORD}@127.0.0.1:1080"
        found = report_of("--no-microphone", HTTPS_PROXY=proxy, SLNG_API_KEY=KEY)
        assert found["code"] == 2
        assert "HTTPS_PROXY" in found["proxy"]["cure"]

    def test_the_home_is_not_named(self, tmp_path: Path, env: Dict[str, str]) -> None:
        home = tmp_path / "ann"
        home.mkdir()
        (home / "pyaudio.py").write_text("")
        root = environment()["PYTHONPATH"]
        found = report_of("--no-microphone", env={**env, "HOME": str(home), "PYTHONPATH": f"{home}:{root}"})
        assert "~" in found["extras"]["detail"]
        assert "ann" not in json.dumps(found)


class TestWhateverHappens:
    def test_a_broken_package(self, env: Dict[str, str], tmp_path: Path) -> None:
        broken = shadow(tmp_path, "soundfile", "raise OSError('sndfile library not found')\n")
        found = report_of("--no-microphone", env={**env, **broken})
        assert found["code"] == 0
        assert found["extras"]["status"] == "warning"
        assert "sndfile library not found" in found["extras"]["detail"]

    def test_a_package_that_is_needed(self, env: Dict[str, str], tmp_path: Path) -> None:
        found = report_of("--no-microphone", env={**env, **shadow(tmp_path, "websocket", "")})
        assert found["code"] == 1
        assert "hides websocket-client" in found["packages"]["detail"]
        assert found["session"]["detail"] == "it needs packages, which failed"

    def test_a_mistake_of_ours(self, env: Dict[str, str], tmp_path: Path) -> None:
        # PyAudio does not do this. It represents an unforeseen error.
        odd = shadow(tmp_path, "pyaudio", "class PyAudio:\n    def __init__(self):\n        1 / 0\n")
        found = report_of(env={**env, **odd})
        assert found["code"] == 1
        assert "ZeroDivisionError" in found["microphones"]["detail"]
        assert found["session"]["status"] == "ok"

    def test_ctrl_c_while_it_connects(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            env = environment(SLNG_BASE_URL=f"ws://127.0.0.1:{silent.getsockname()[1]}", SLNG_API_KEY=KEY)
            with started(slng_sync("doctor", "--no-microphone"), env=env) as process:
                assert any(line.startswith(b"ok       tls") for line in process.stdout)
                interrupt(process)
                out, err = process.communicate(timeout=15)
        assert (process.returncode, out, err) == (130, b"", b"")

    def test_ctrl_c_while_it_listens(self, microphone: VirtualMicrophone, env: Dict[str, str]) -> None:
        with on_terminal(slng_sync("doctor"), with_sound(env)) as terminal:
            terminal.read_until(lambda screen: "say something" in screen.text)
            terminal.type("\x03")
            shown = terminal.read_to_end()
        assert terminal.process.returncode == 130
        assert "Traceback" not in shown and "recording" not in shown

    def test_wrong_usage(self) -> None:
        done = run("doctor", "--local", "--base-url", UNREACHABLE)
        assert (done.returncode, done.stdout) == (2, "")


def test_the_command_for_a_bug_report_is_named() -> None:
    done = run("doctor", "--no-microphone", "--base-url", UNREACHABLE)
    *_, last = done.stdout.splitlines()
    assert shlex.split(last.partition("bug report: ")[2]) == ["slng-sync", "doctor", "--json"]
    assert last.startswith("Failed: key, tcp.")
