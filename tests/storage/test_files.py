"""Files with spoken words are private, never follow a link and never overwrite the source."""

import io
import itertools
import os
from pathlib import Path
from typing import Any

import pytest
from disks import mode

from slng_sync import ConfigurationError
from slng_sync.storage.files import (
    check_distinct,
    check_not_source,
    check_path,
    create_beside,
    open_to_append,
    open_to_read,
    open_to_replace,
    unwritable,
)

POSIX = pytest.mark.skipif(os.name == "nt", reason="Windows has other permissions and links")


class TestOpening:
    """The mode of opened files."""

    @POSIX
    def test_a_new_file_is_for_its_owner_only(self, tmp_path: Path) -> None:
        """Independent of the umask."""
        umask = os.umask(0)
        try:
            open_to_replace(str(tmp_path / "a.wav")).close()
            create_beside(str(tmp_path / "b.wav"), itertools.count(1))[0].close()
        finally:
            os.umask(umask)
        assert mode(tmp_path / "a.wav") == mode(tmp_path / "b.wav") == 0o600

    @POSIX
    def test_a_file_that_is_there_keeps_its_mode_and_loses_its_content(self, tmp_path: Path) -> None:
        """Its owner may have made it readable for a group."""
        path = tmp_path / "a.wav"
        path.write_bytes(b"long ago")
        path.chmod(0o640)
        with open_to_replace(str(path)) as file:
            file.write(b"new")
        assert (path.read_bytes(), mode(path)) == (b"new", 0o640)

    @POSIX
    @pytest.mark.parametrize("opening", [open_to_replace, open_to_append, open_to_read])
    def test_a_link_is_never_followed(self, opening: Any, tmp_path: Path) -> None:
        """The target of the link stays unchanged, and the error says what to do."""
        victim, link = tmp_path / "victim", tmp_path / "link"
        victim.write_bytes(b"precious")
        link.symlink_to(victim)
        with pytest.raises(OSError, match="symbolic links") as caught:
            opening(str(link))
        assert victim.read_bytes() == b"precious"
        assert "symbolic link" in unwritable("record", str(link), caught.value).hint

    @POSIX
    def test_a_link_to_nowhere_creates_nothing(self, tmp_path: Path) -> None:
        (tmp_path / "link.wav").symlink_to(tmp_path / "elsewhere")
        with pytest.raises(OSError, match="symbolic links"):
            open_to_replace(str(tmp_path / "link.wav"))
        file, name = create_beside(str(tmp_path / "link.wav"), itertools.count(1))
        file.close()
        assert name == str(tmp_path / "link-2.wav")
        assert not (tmp_path / "elsewhere").exists()

    def test_to_append_needs_a_file(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError):
            open_to_append(str(tmp_path / "none.wav"))


class TestSource:
    """``record`` and ``trace`` must not be the source."""

    @pytest.fixture
    def talk(self, tmp_path: Path) -> Path:
        path = tmp_path / "talk.wav"
        path.write_bytes(bytes(100))
        return path

    def test_the_source_itself_is_refused(self, talk: Path) -> None:
        """By the same path or by another path to the file."""
        other = talk.parent / "x" / ".." / "talk.wav"
        (talk.parent / "x").mkdir()
        for path, source in ((talk, talk), (str(talk), talk), (talk, str(talk)), (other, talk)):
            with pytest.raises(ConfigurationError, match=r"^record: .* is the source itself"):
                check_not_source("record", path, source)

    @POSIX
    @pytest.mark.parametrize("link", [os.symlink, os.link])
    def test_a_link_to_the_source_is_refused(self, link: Any, talk: Path) -> None:
        link(talk, talk.parent / "link.wav")
        for path, source in ((talk, talk.parent / "link.wav"), (talk.parent / "link.wav", talk)):
            with pytest.raises(ConfigurationError, match="trace"):
                check_not_source("trace", path, source)

    def test_an_open_file_is_known(self, talk: Path) -> None:
        with talk.open("rb") as file, pytest.raises(ConfigurationError):
            check_not_source("record", talk, file)

    @pytest.mark.parametrize("source", [None, b"abc", [b"abc"], io.BytesIO(b"abc"), "missing.wav", 7, "a\0b"])
    def test_what_is_no_file_is_no_matter(self, source: Any, talk: Path) -> None:
        check_not_source("record", talk, source)
        check_not_source("record", None, source)
        check_not_source("record", talk.parent / "new.wav", source)

    def test_another_file_is_another_file(self, talk: Path) -> None:
        check_not_source("record", talk.parent / "other.wav", talk)
        check_distinct("record", talk, "trace", talk.parent / "talk.jsonl")
        check_distinct("record", talk, "trace", None)

    @POSIX
    def test_a_device_may_be_both(self) -> None:
        with open("/dev/null", "rb") as device:
            check_not_source("record", "/dev/null", device)

    def test_one_file_for_two_options_is_refused(self, tmp_path: Path) -> None:
        """Whether it exists or not."""
        path = tmp_path / "talk"
        with pytest.raises(ConfigurationError, match="record and trace are the same file"):
            check_distinct("record", path, "trace", str(path))

    def test_what_is_no_path_is_refused(self) -> None:
        not_a_path: Any = 7
        with pytest.raises(ConfigurationError, match="record must be the path of a file to write, not 7"):
            check_path("record", not_a_path)
