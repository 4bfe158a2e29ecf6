"""Files that another program is still writing."""

import os
import subprocess
import sys
import threading
import wave
from pathlib import Path
from typing import Any, Callable

import numpy
import pytest
import soundfile
from riff import FLOAT, MU_LAW, PCM, wav

from slng_sync.audio import follow
from slng_sync.audio.format import AudioFormat
from slng_sync.audio.source import as_source
from slng_sync.errors import AudioError, ConfigurationError

SPEECH = (numpy.sin(numpy.arange(16000) / 20) * 8000).astype("<i2").tobytes()


@pytest.fixture(autouse=True)
def _short_timeouts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the timeouts."""
    monkeypatch.setattr(follow, "POLL_SECONDS", 0.005)
    monkeypatch.setattr(follow, "UNCHANGED_SECONDS", 0.2)
    monkeypatch.setattr(follow, "HEADER_SECONDS", 0.2)


class Follower:
    """Follows a file on a thread, as a session does, and can wait for audio."""

    def __init__(self, path: Path, **options: Any) -> None:
        self.source: Any = as_source(path, follow=True, **options)
        self.audio = b""
        self.error: Any = None
        self._changed = threading.Condition()
        self._chunks = iter(self.source)
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "Follower":
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.source.stop()
        self._thread.join()

    def wait_for(self, audio: bytes) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.audio) >= len(audio), 10), len(self.audio)
            assert self.audio == audio

    def wait_for_the_end(self) -> bytes:
        self._thread.join(10)
        assert not self._thread.is_alive()
        return self.audio

    def _run(self) -> None:
        try:
            for chunk in self._chunks:
                with self._changed:
                    self.audio += bytes(chunk)
                    self._changed.notify_all()
        except AudioError as error:
            self.error = error


def append(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)


def patch(path: Path, samples: int, *, header: int = 44) -> None:
    """Write the sizes into the header, as a recorder does when it finishes."""
    with path.open("r+b") as file:
        file.seek(4)
        file.write((header - 8 + samples).to_bytes(4, "little"))
        file.seek(header - 4)
        file.write(samples.to_bytes(4, "little"))


class TestGrowing:
    @pytest.mark.parametrize("announced", [0, 0x7FFFF000, 0xFFFFFFFF], ids=["zero", "2 GiB", "4 GiB"])
    def test_existing_audio_comes_at_once_and_new_audio_as_it_is_written(
        self, tmp_path: Path, announced: int
    ) -> None:
        path = tmp_path / "talk.wav"
        path.write_bytes(wav(SPEECH, announced=announced, riff_bytes=announced))
        with Follower(path) as follower:
            assert follower.source.audio_format == AudioFormat(16000, 1)
            follower.wait_for(SPEECH)
            append(path, SPEECH[:6000])
            follower.wait_for(SPEECH + SPEECH[:6000])

    def test_an_incomplete_sample_is_waited_for(self, tmp_path: Path) -> None:
        path = tmp_path / "talk.wav"
        path.write_bytes(wav(SPEECH[:1000], announced=0))
        with Follower(path) as follower:
            follower.wait_for(SPEECH[:1000])
            append(path, SPEECH[1000:1001])
            append(path, SPEECH[1001:2001])
            follower.wait_for(SPEECH[:2000])
            append(path, SPEECH[2001:3000])
            follower.wait_for(SPEECH[:3000])

    @pytest.mark.parametrize(
        ("encoding", "width", "dtype", "scale"),
        [(PCM, 2, "<i2", 1), (PCM, 4, "<i4", 65536), (FLOAT, 4, "<f4", 1 / 32768)],
    )
    def test_integers_and_floats_become_16_bits(
        self, tmp_path: Path, encoding: int, width: int, dtype: str, scale: float
    ) -> None:
        samples = (numpy.frombuffer(SPEECH, "<i2").astype(float) * scale).astype(dtype).tobytes()
        path = tmp_path / "talk.wav"
        path.write_bytes(wav(b"", encoding=encoding, width=width, announced=0))
        with Follower(path) as follower:
            for start in range(0, len(samples), 12347):
                append(path, samples[start : start + 12347])
            follower.wait_for(SPEECH)

    def test_raw_pcm_is_followed_in_the_given_format(self, tmp_path: Path) -> None:
        path = tmp_path / "talk.raw"
        path.write_bytes(SPEECH[:4001])
        with Follower(path, sample_rate=8000, channels=2) as follower:
            assert follower.source.audio_format == AudioFormat(8000, 2)
            follower.wait_for(SPEECH[:4000])
            append(path, SPEECH[4001:])
            follower.wait_for(SPEECH)

    def test_raw_pcm_may_begin_later(self, tmp_path: Path) -> None:
        path = tmp_path / "talk.raw"
        path.touch()
        with Follower(path, sample_rate=16000) as follower:
            append(path, SPEECH)
            follower.wait_for(SPEECH)

    def test_a_header_that_is_not_complete_is_waited_for(self, tmp_path: Path) -> None:
        recording = wav(SPEECH, announced=0)
        path = tmp_path / "talk.wav"
        path.write_bytes(recording[:20])
        timer = threading.Timer(0.05, lambda: append(path, recording[20:]))
        timer.start()
        with Follower(path) as follower:
            follower.wait_for(SPEECH)
        timer.join()


class TestTheEnd:
    def test_stop_ends_it_after_the_audio_written_so_far(self, tmp_path: Path) -> None:
        path = tmp_path / "talk.wav"
        path.write_bytes(wav(SPEECH[:4000], announced=0))
        source: Any = as_source(path, follow=True)
        chunks = iter(source)
        audio = b"".join(next(chunks) for _ in range(3))
        append(path, SPEECH[4000:8000])
        source.stop()
        assert audio + b"".join(chunks) == SPEECH[:8000]

    def test_stop_drops_a_long_backlog(self, tmp_path: Path) -> None:
        path = tmp_path / "talk.wav"
        path.write_bytes(wav(SPEECH * 100, announced=0))
        source: Any = as_source(path, follow=True)
        audio = 0
        for chunk in source:
            audio += len(chunk)
            source.stop()
        assert audio == 1600

    def test_it_ends_by_itself_when_the_header_was_patched(self, tmp_path: Path) -> None:
        path = tmp_path / "talk.wav"
        path.write_bytes(wav(SPEECH[:4000], announced=0))
        with Follower(path) as follower:
            append(path, SPEECH[4000:])
            follower.wait_for(SPEECH)
            patch(path, len(SPEECH))
            assert follower.wait_for_the_end() == SPEECH
        assert follower.error is None

    def test_a_finished_file_ends_too(self, tmp_path: Path) -> None:
        path = tmp_path / "talk.wav"
        path.write_bytes(wav(SPEECH, after=b"LIST\4\0\0\0INFO"))
        with Follower(path) as follower:
            assert follower.wait_for_the_end() == SPEECH

    def test_a_size_that_is_announced_in_advance_is_waited_for(self, tmp_path: Path) -> None:
        recording = wav(SPEECH)
        path = tmp_path / "talk.wav"
        path.write_bytes(recording[:10001])
        with Follower(path) as follower:
            follower.wait_for(SPEECH[:9956])
            append(path, recording[10001:])
            assert follower.wait_for_the_end() == SPEECH

    def test_a_header_that_is_updated_while_recording_is_not_the_end(self, tmp_path: Path) -> None:
        """The standard library patches the header after each ``writeframes``."""
        path = tmp_path / "talk.wav"
        with path.open("wb", buffering=0) as file, wave.open(file, "wb") as writer:
            writer.setparams((1, 2, 16000, 0, "NONE", ""))
            writer.writeframes(SPEECH[:4000])
            with Follower(path) as follower:
                for end in range(8000, len(SPEECH), 4000):
                    follower.wait_for(SPEECH[: end - 4000])
                    writer.writeframes(SPEECH[end - 4000 : end])
                writer.close()
                assert follower.wait_for_the_end() == SPEECH[:end]

    def test_another_process_writes_in_its_own_time(self, tmp_path: Path) -> None:
        """Its buffer cuts frames anywhere. ``close`` writes the sizes."""
        path = tmp_path / "talk.wav"
        program = (
            "import sys, wave\n"
            "writer = wave.open(sys.argv[1], 'wb')\n"
            "writer.setparams((2, 3, 48000, 0, 'NONE', ''))\n"
            "pcm = bytes(range(1, 241)) * 900\n"
            "for start in range(0, len(pcm), 4998):\n"
            "    writer.writeframesraw(pcm[start : start + 4998])\n"
            "    if start == 49980: print('begun', flush=True); sys.stdin.readline()\n"
            "writer.close()\n"
        )
        command = [sys.executable, "-W", "ignore", "-c", program, str(path)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout and writer.stdin and writer.stdout.readline() == "begun\n"
            with Follower(path) as follower:
                writer.communicate("go on\n", timeout=20)
                audio = follower.wait_for_the_end()
        pcm = bytes(range(1, 241)) * 900
        expected = b"".join(pcm[at + 1 : at + 3] for at in range(0, len(pcm), 3))
        assert follower.error is None
        assert audio == expected

    def test_a_finished_file_may_be_moved_away(self, tmp_path: Path) -> None:
        path = tmp_path / "talk.wav"
        path.write_bytes(wav(SPEECH[:4000], announced=0))
        with Follower(path) as follower:
            follower.wait_for(SPEECH[:4000])
            append(path, SPEECH[4000:])
            patch(path, len(SPEECH))
            path.rename(tmp_path / "done.wav")
            assert follower.wait_for_the_end() == SPEECH
        assert follower.error is None


def remove(path: Path) -> None:
    path.unlink()


def replace(path: Path) -> None:
    other = path.with_name("other")
    other.write_bytes(wav(SPEECH * 2, announced=0))
    os.replace(other, path)


def truncate(path: Path) -> None:
    os.truncate(path, 100)


class TestTrouble:
    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (remove, "was removed or replaced while it was being followed"),
            (replace, "was removed or replaced while it was being followed"),
            (truncate, "was truncated while it was being followed"),
        ],
    )
    def test_a_file_that_was_removed_replaced_or_truncated(
        self, tmp_path: Path, change: Callable[[Path], None], message: str
    ) -> None:
        path = tmp_path / "talk.wav"
        path.write_bytes(wav(SPEECH, announced=0))
        with Follower(path) as follower:
            follower.wait_for(SPEECH)
            change(path)
            assert follower.wait_for_the_end() == SPEECH
        assert message in str(follower.error)
        assert follower.error.hint

    def test_another_format_at_the_time_of_the_iteration(self, tmp_path: Path) -> None:
        path = tmp_path / "talk.wav"
        path.write_bytes(wav(SPEECH, announced=0))
        source = as_source(path, follow=True)
        path.write_bytes(wav(SPEECH, announced=0, channels=2))
        with pytest.raises(AudioError, match="replaced"):
            list(source)

    @pytest.mark.parametrize("written", [b"", b"RIFF", wav(SPEECH)[:40]])
    def test_a_header_that_never_comes(self, tmp_path: Path, written: bytes) -> None:
        path = tmp_path / "talk.wav"
        path.write_bytes(written)
        with pytest.raises(AudioError, match=r"talk\.wav has no complete WAV header after 0\.2 s"):
            as_source(path, follow=True)

    def test_raw_pcm_without_its_rate(self, tmp_path: Path) -> None:
        path = tmp_path / "talk.raw"
        path.write_bytes(SPEECH)
        with pytest.raises(AudioError, match=r"not a WAV file\. If it is raw PCM, set sample_rate"):
            as_source(path, follow=True)

    @pytest.mark.parametrize("kind", ["FLAC", "OGG", "MP3"])
    def test_compressed_files_cannot_be_followed(self, tmp_path: Path, kind: str) -> None:
        path = tmp_path / f"talk.{kind.lower()}"
        soundfile.write(path, numpy.zeros(16000), 16000, format=kind)
        with pytest.raises(AudioError, match=r"cannot be followed\. Only WAV and raw PCM"):
            as_source(path, follow=True)

    def test_compressed_samples_cannot_be_followed(self, tmp_path: Path) -> None:
        path = tmp_path / "talk.wav"
        path.write_bytes(wav(bytes(100), encoding=MU_LAW, width=1))
        with pytest.raises(AudioError, match="compressed samples"):
            as_source(path, follow=True)

    @pytest.mark.parametrize("source", [b"\0\0", [b"\0\0"], numpy.zeros(10)], ids=["bytes", "list", "array"])
    def test_only_a_path_can_be_followed(self, source: Any) -> None:
        with pytest.raises(ConfigurationError, match="follow needs the path of a file"):
            as_source(source, sample_rate=16000, follow=True)

    def test_a_missing_file(self, tmp_path: Path) -> None:
        with pytest.raises(AudioError, match="File not found"):
            as_source(tmp_path / "nothing.wav", follow=True)
