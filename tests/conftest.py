"""Checks and fixtures for all tests.

After every test a fixture checks that no thread, file descriptor or child process is left. It waits a few
seconds for those that are still ending.
"""

import gc
import os
import signal
import ssl
import threading
import time
import warnings
from collections import Counter
from multiprocessing import resource_tracker
from pathlib import Path
from typing import Callable, Generator, Iterator, List, Set

import pytest

with warnings.catch_warnings():
    # A dependency of trustme warns on Pythons that are no longer supported.
    warnings.simplefilter("ignore")
    import trustme

GRACE = 5.0
PROC = Path("/proc/self")
# Python or a library opens these once, on first use, and never closes them.
NEVER_CLOSED = ("/dev/urandom", "/dev/random", "/dev/null")

_NAMES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "ws_proxy", "wss_proxy")
_OWN = ("SLNG_API_KEY", "SLNG_BASE_URL", "SSL_CERT_FILE", "SSL_CERT_DIR", "WEBSOCKET_CLIENT_CA_BUNDLE")
# Not part of the core tests, which run on every Python. The whole suite runs on one.
SLOW_FOLDERS = {"cli", "transport", "gateway"}

failed = pytest.StashKey[bool]()


def pytest_configure() -> None:
    # A shell ignores Ctrl-C for programs in the background, and their children inherit this.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: List[pytest.Item]) -> None:
    for item in items:
        if item.path.parent.name in SLOW_FOLDERS:
            item.add_marker(pytest.mark.slow)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: "pytest.CallInfo[None]"
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    item.stash[failed] = item.stash.get(failed, False) or report.failed
    return report


@pytest.fixture(scope="session", autouse=True)
def _resource_tracker() -> None:
    """Start multiprocessing's resource tracker now, so that no test seems to have left it behind."""
    if hasattr(os, "fork"):
        resource_tracker.ensure_running()


@pytest.fixture(autouse=True)
def _nothing_left_behind(request: pytest.FixtureRequest) -> Iterator[None]:
    threads = set(threading.enumerate())
    descriptors = _descriptors()
    children = _children()
    yield
    left = [
        *_left("thread", lambda: _threads_since(threads)),
        *_left("child process", lambda: _describe_children(_children() - children)),
        *_left("file descriptor", lambda: list((_descriptors() - descriptors).elements())),
    ]
    # The traceback of a failed test keeps its objects alive, and one report is enough.
    if left and not request.node.stash.get(failed, False):
        pytest.fail("The test left behind:\n" + "\n".join(f"  {each}" for each in left), pytrace=False)


def _left(kind: str, remaining: Callable[[], List[str]]) -> List[str]:
    """Wait until nothing remains, at most GRACE seconds. Return what does."""
    deadline = time.monotonic() + GRACE
    found = remaining()
    if found:
        gc.collect()
    while found and time.monotonic() < deadline:
        time.sleep(0.01)
        found = remaining()
    return [f"{kind}: {each}" for each in found]


def _threads_since(before: Set[threading.Thread]) -> List[str]:
    # A dummy represents a thread that Python did not start. Python does not notice when it ends.
    return [
        repr(thread)
        for thread in threading.enumerate()
        if thread not in before and not isinstance(thread, threading._DummyThread)
    ]


def _descriptors() -> "Counter[str]":
    """Return what the open file descriptors point to. Sockets and pipes are counted without their numbers."""
    found: Counter[str] = Counter()
    if not PROC.exists():
        return found
    for entry in (PROC / "fd").iterdir():
        try:
            target = os.readlink(entry)
        except OSError:
            # This descriptor was only open to list the folder.
            continue
        if target not in NEVER_CLOSED:
            found[target.split(":[")[0]] += 1
    return found


def _children() -> Set[int]:
    """Return the process ids of the children of all our threads, including zombies."""
    children: Set[int] = set()
    for path in PROC.glob("task/*/children"):
        try:
            children.update(map(int, path.read_text().split()))
        except OSError:
            # The thread has just ended.
            continue
    return children


def _describe_children(pids: Set[int]) -> List[str]:
    found = []
    for pid in sorted(pids):
        try:
            command = Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ").strip()
        except OSError:
            # The process has just ended.
            continue
        found.append(f"{pid} {command or '(zombie: ended without a wait)'}")
    return found


# Tests of connections need an environment without proxy, key and gateway, and certificates.


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*_NAMES, *map(str.upper, _NAMES), *_OWN):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    """Return a certificate authority that no system trusts."""
    return trustme.CA()


@pytest.fixture(scope="session")
def server_context(authority: trustme.CA) -> ssl.SSLContext:
    """Return the TLS context of a server on loopback, with a certificate of the authority."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", "localhost").configure_cert(context)
    return context


@pytest.fixture(scope="session")
def ca_file(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the path of the authority's certificate, a PEM file."""
    path = tmp_path_factory.mktemp("authority") / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return str(path)
