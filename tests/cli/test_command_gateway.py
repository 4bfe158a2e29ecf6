"""``slng-sync gateway`` serves in one process and is used by another."""

import socket
from pathlib import Path
from typing import Any, Dict

import pytest
import trustme
from command import SPEECH, environment, interrupt, run, slng_sync, started

from slng_sync import Client, Soniox


def settings(process: Any) -> Dict[str, str]:
    """Wait for the two lines that the gateway prints and return them as settings."""
    return dict(process.stdout.readline().decode().strip().split("=", 1) for _ in range(2))


def stop(process: Any) -> None:
    interrupt(process)
    assert process.communicate(timeout=10) == (b"", b"Stop the gateway with Ctrl-C.\n")
    assert process.returncode == 0


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "words.txt"
    path.write_text("Always the same.\nWhatever is said.\n", "utf-8")
    return path


def test_its_two_lines_are_all_that_a_program_needs(script: Path, recording: Path) -> None:
    with started(slng_sync("gateway", "--port", "0", "--script", script)) as process:
        env = environment(**settings(process))
        done = run("transcribe", recording, "--speed", "50", env=env)
        assert done.stdout.splitlines() == ["Always the same.", "Whatever is said."]
        stop(process)


def test_it_recognises_unless_told_otherwise() -> None:
    with started(slng_sync("gateway", "--port", "0")) as process:
        told = settings(process)
        client = Client(Soniox(), api_key=told["SLNG_API_KEY"], base_url=told["SLNG_BASE_URL"], proxy="")
        assert client.transcribe(SPEECH / "goforward.wav", speed=4).text == "go forward ten meters"
        stop(process)


def test_it_serves_tls(script: Path, recording: Path, tmp_path: Path) -> None:
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    chain, key, ca = (tmp_path / name for name in ("chain.pem", "key.pem", "ca.pem"))
    certificate.private_key_pem.write_to_path(str(key))
    authority.cert_pem.write_to_path(str(ca))
    for blob in certificate.cert_chain_pems:
        blob.write_to_path(str(chain), append=True)
    command = slng_sync("gateway", "--port", "0", "--script", script, "--tls-cert", chain, "--tls-key", key)
    with started(command) as process:
        told = settings(process)
        assert told["SLNG_BASE_URL"].startswith("wss://")
        client = Client("reson8", api_key="any", base_url=told["SLNG_BASE_URL"], ca_certs=str(ca), proxy="")
        assert client.transcribe(recording, speed=50).text == "Always the same. Whatever is said."
        stop(process)


def test_a_port_in_use_is_1_and_says_what_to_do() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = run("gateway", "--engine", "script", "--port", taken.getsockname()[1])
    assert done.returncode == 1
    assert "in use" in done.stderr.splitlines()[0]
    assert "--port 0" in done.stderr.splitlines()[1]


def test_what_cannot_be_used_is_1(tmp_path: Path) -> None:
    (tmp_path / "no.pem").write_text("nothing")
    no_pem = ["--tls-cert", tmp_path / "no.pem", "--tls-key", tmp_path / "no.pem"]
    wrong = [
        (["--script", "missing.txt"], "missing.txt cannot be read"),
        (["--host", "203.0.113.1"], "Cannot listen on 203.0.113.1"),
        (no_pem, "certificate or its key cannot be used"),
    ]
    for arguments, said in wrong:
        done = run("gateway", "--engine", "script", "--port", "0", *arguments)
        assert (done.returncode, done.stdout) == (1, ""), arguments
        assert "Traceback" not in done.stderr
        assert said in done.stderr
        assert len(done.stderr.splitlines()) <= 2
