"""Writers that end with the test, and disks that hang until its end."""

from typing import Iterator

import pytest
from disks import HungDisk, finish

from slng_sync.storage.writer import FileWriter


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[HungDisk]:
    disk = HungDisk(monkeypatch)
    yield disk
    disk.answer()


@pytest.fixture
def writer() -> Iterator[FileWriter]:
    writer = FileWriter()
    yield writer
    finish(writer)
