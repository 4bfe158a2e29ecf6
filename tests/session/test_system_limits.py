"""Errors at the limits of open files and threads. Nothing stays open."""

import contextlib
import errno
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Iterator, List

import pytest
from heard import Heard
from test_session import SECOND, client_for, gateway

from slng_sync import SlngError, Soniox
from slng_sync.system_limits import hint_at_limit

resource = pytest.importorskip("resource", reason="Windows has other limits.")

FILES = Path("/proc/self/fd")
OF_THE_FIRST = 4 if hasattr(os, "eventfd") else 6
"""Its socket, the poll of ``slng-io``, and what wakes that thread and the one that connects."""


def refuse_threads(monkeypatch: pytest.MonkeyPatch, name: str, reason: str) -> None:
    """From now on the system gives no thread of this name."""
    start = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if thread.name == name:
            raise RuntimeError(reason)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)


@pytest.fixture
def gateway_url(tmp_path: Path) -> Iterator[str]:
    """A gateway in a separate process, because its connections need files too."""
    script = tmp_path / "script.txt"
    script.write_text("hello world.")
    command = [sys.executable, "-m", "slng_sync", "gateway", "--port", "0", "--script", str(script)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip().replace("SLNG_BASE_URL=", "")
        finally:
            process.kill()


@contextlib.contextmanager
def files_left(count: int) -> Iterator[None]:
    """Let this process open only this many more files."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(int(each.name) for each in FILES.iterdir())
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 20, before[1]))
    taken: List[int] = []
    try:
        with contextlib.suppress(OSError):
            while True:
                taken.append(os.dup(0))
        for _ in range(count):
            os.close(taken.pop())
        yield
    finally:
        for each in taken:
            os.close(each)
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.skipif(not FILES.exists(), reason="Only Linux lists the files that are open.")
def test_a_session_takes_one_file(gateway_url: str) -> None:
    client = client_for(gateway_url, Soniox(), Heard())
    with client.listen():
        before = len(list(FILES.iterdir()))
        with client.listen():
            assert len(list(FILES.iterdir())) - before == 1


@pytest.mark.skipif(not FILES.exists(), reason="Only Linux lists the files that are open.")
@pytest.mark.parametrize("left", range(OF_THE_FIRST))
def test_without_files_it_says_which_limit_to_raise(left: int, gateway_url: str) -> None:
    heard = Heard()
    client = client_for(gateway_url, Soniox(), heard)
    # Open what stays open for the life of the process.
    client.listen().close()
    with files_left(left), pytest.raises(SlngError, match=r"Too many open files.*ulimit -n") as refused:
        client.listen()
    assert refused.value.retryable
    with client.listen() as session:
        session.send(SECOND)
    assert heard.finals == ["hello world."], "once there are files again"


@pytest.mark.parametrize("name", ["slng-callbacks", "slng-io", "slng-connect", "slng-capture"])
def test_without_threads_it_says_which_limit_to_raise(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    heard = Heard()
    with gateway() as server:
        client = client_for(server.url, Soniox(), heard)
        source = iter([SECOND])
        with monkeypatch.context() as patch:
            refuse_threads(patch, name, "can't start new thread")
            with pytest.raises(SlngError, match=r"can't start new thread.*ulimit -u") as refused:
                client.listen(source, sample_rate=16000)
        assert refused.value.retryable
        with client.listen() as session:
            session.send(SECOND)
    assert heard.finals[-1:] == ["hello world."], "once there are threads again"


def test_no_limit_is_blamed_for_what_it_did_not_do() -> None:
    assert hint_at_limit(OSError(errno.ECONNREFUSED, "Connection refused")) == ""
    assert hint_at_limit(RuntimeError("can't create new thread at interpreter shutdown")) == ""
    assert "ulimit -n" in hint_at_limit(OSError(errno.EMFILE, "Too many open files"))
