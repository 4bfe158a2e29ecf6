import io
import os
import sys
import threading
from pathlib import Path
from typing import Any, Iterator

import numpy
import pytest
import soundfile
from riff import MU_LAW, wav

from slng_sync.audio.format import AudioFormat
from slng_sync.audio.source import as_source
from slng_sync.errors import AudioError, ConfigurationError

AT_ONCE = float("inf")
SPEECH = (numpy.sin(numpy.arange(16000) / 20) * 8000).astype("<i2")


def read(source: Any, **options: Any) -> "numpy.ndarray[Any, Any]":
    pcm: Any = b"".join(as_source(source, speed=AT_ONCE, **options))  # type: ignore[arg-type]
    return numpy.frombuffer(pcm, "<i2").astype(int)


@pytest.fixture
def speech(tmp_path: Path) -> Path:
    path = tmp_path / "speech.wav"
    path.write_bytes(wav(SPEECH.tobytes()))
    return path


class TestPaths:
    def test_a_path_can_be_text_or_an_object_and_be_read_twice(self, speech: Path) -> None:
        source = as_source(str(speech), speed=AT_ONCE)
        assert b"".join(source) == b"".join(source) == SPEECH.tobytes()  # type: ignore[arg-type]
        assert (read(speech) == SPEECH).all()

    def test_the_file_is_open_only_during_an_iteration(self, speech: Path) -> None:
        before = os.listdir("/proc/self/fd")
        source = as_source(speech, speed=AT_ONCE)
        assert os.listdir("/proc/self/fd") == before
        chunks = iter(source)
        next(chunks)
        del chunks
        assert os.listdir("/proc/self/fd") == before

    def test_a_file_keeps_its_own_format(self, speech: Path) -> None:
        assert as_source(speech, sample_rate=8000, channels=2).audio_format == AudioFormat(16000, 1)

    def test_raw_pcm_has_the_given_format(self, tmp_path: Path) -> None:
        path = tmp_path / "speech.raw"
        path.write_bytes(SPEECH.tobytes() + b"!")
        source = as_source(path, sample_rate=8000, channels=2, speed=AT_ONCE)
        assert source.audio_format == AudioFormat(8000, 2)
        assert b"".join(source) == SPEECH.tobytes()  # type: ignore[arg-type]

    def test_a_missing_file(self, tmp_path: Path) -> None:
        with pytest.raises(AudioError, match=r"File not found: .*nothing\.wav\. The current folder is"):
            as_source(tmp_path / "nothing.wav")

    def test_a_folder(self, tmp_path: Path) -> None:
        with pytest.raises(AudioError, match="is a folder, not a file"):
            as_source(str(tmp_path))

    def test_an_empty_file(self, tmp_path: Path) -> None:
        (tmp_path / "empty.wav").touch()
        with pytest.raises(AudioError, match=r"empty\.wav is empty"):
            as_source(tmp_path / "empty.wav")

    def test_the_path_of_a_pipe(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(AudioError, match=r"not a regular file\. Pass an open file instead"):
            as_source(tmp_path / "pipe")

    def test_no_permission(self, speech: Path) -> None:
        speech.chmod(0)
        user = os.geteuid()
        if user == 0:  # root may read everything
            os.seteuid(65534)
        try:
            with pytest.raises(AudioError, match=r"Permission denied: .*speech\.wav"):
                as_source(speech)
        finally:
            os.seteuid(user)

    def test_an_invalid_file_name(self) -> None:
        with pytest.raises(ConfigurationError, match="is not a valid file name"):
            as_source("speech\0.wav")
        with pytest.raises(AudioError, match="cannot be read: File name too long"):
            as_source("x" * 5000)


class TestOtherFormats:
    @pytest.mark.parametrize("kind", ["FLAC", "AIFF", "RF64", "W64"])
    def test_lossless_formats_are_read_exactly(self, tmp_path: Path, kind: str) -> None:
        path = tmp_path / "speech"
        soundfile.write(path, SPEECH, 16000, format=kind)
        assert as_source(path).duration == 1.0  # type: ignore[attr-defined]
        assert (read(path) == SPEECH).all()
        with path.open("rb") as file:
            assert (read(file, sample_rate=8000) == SPEECH).all()

    @pytest.mark.parametrize("kind", ["OGG", "MP3"])
    def test_lossy_formats_are_read_approximately(self, tmp_path: Path, kind: str) -> None:
        path = tmp_path / "speech"
        soundfile.write(path, SPEECH, 16000, format=kind)
        assert abs(read(path)[1000:15000] - SPEECH[1000:15000]).max() < 1000
        assert (read(io.BytesIO(path.read_bytes())) == read(path)).all()

    def test_an_mp3_that_could_be_raw_pcm_is_detected_by_its_name(self, tmp_path: Path) -> None:
        soundfile.write(tmp_path / "speech.MP3", SPEECH, 16000, format="MP3")
        assert as_source(tmp_path / "speech.MP3", sample_rate=8000).audio_format == AudioFormat(16000, 1)

    def test_flac_that_was_written_into_a_pipe_has_no_duration(self) -> None:
        file = io.BytesIO()
        soundfile.write(file, SPEECH, 16000, format="FLAC")
        recording = bytearray(file.getvalue())
        recording[21] &= 0xF0  # the 36 bits of the number of samples
        recording[22:26] = bytes(4)
        assert as_source(bytes(recording)).duration is None  # type: ignore[attr-defined]
        assert (read(bytes(recording)) == SPEECH).all()

    def test_an_mp3_that_is_shorter_than_estimated_is_not_an_error(self) -> None:
        file = io.BytesIO()
        audio = numpy.concatenate([numpy.zeros(80000), SPEECH / 32768])
        with soundfile.SoundFile(
            file, "w", 16000, 1, format="MP3", bitrate_mode="VARIABLE", compression_level=0.5
        ) as mp3:
            mp3.write(audio)
        recording = file.getvalue()
        second_frame = recording.find(recording[:2], 4)  # the first frame contains the length
        assert abs(len(read(io.BytesIO(recording[second_frame:]))) - 96000) < 2000

    def test_several_channels_stay_apart(self, tmp_path: Path) -> None:
        stereo = numpy.stack([SPEECH, -SPEECH], axis=1)
        soundfile.write(tmp_path / "stereo.flac", stereo, 48000)
        source = as_source(tmp_path / "stereo.flac", speed=AT_ONCE)
        assert source.audio_format == AudioFormat(48000, 2)
        assert b"".join(source) == stereo.tobytes()  # type: ignore[arg-type]

    def test_a_loud_lossy_recording_is_clipped(self, tmp_path: Path) -> None:
        loud = numpy.sign(SPEECH) * 32767
        soundfile.write(tmp_path / "loud.ogg", loud.astype("int16"), 16000)
        result = read(tmp_path / "loud.ogg")
        assert (result * numpy.sign(SPEECH))[20:16000].min() > -2000

    def test_mu_law_in_a_wav(self) -> None:
        recording = wav(bytes([0x80, 0xFF, 0x00]), encoding=MU_LAW, width=1, sample_rate=8000)
        assert read(io.BytesIO(recording)).tolist() == [32124, 0, -32124]

    def test_a_damaged_file_raises_an_error(self, tmp_path: Path) -> None:
        path = tmp_path / "speech.flac"
        noise = numpy.random.default_rng(1).integers(-9999, 9999, 32000).astype("int16")
        soundfile.write(path, noise, 16000)
        path.write_bytes(path.read_bytes()[:30000])
        with pytest.raises(AudioError, match=r"speech\.flac (cannot be decoded after|is truncated)"):
            read(path)

    @pytest.mark.parametrize("name", ["notes.txt", "notes.raw"])
    def test_a_file_that_is_not_audio(self, name: str, tmp_path: Path) -> None:
        (tmp_path / name).write_text("This is text and not audio.")
        with pytest.raises(AudioError, match=r"not a supported audio file.* set sample_rate"):
            as_source(tmp_path / name)

    def test_a_file_without_samples(self, tmp_path: Path) -> None:
        soundfile.write(tmp_path / "nothing.flac", SPEECH[:0], 16000, format="AIFF")
        with pytest.raises(AudioError, match="contains no audio"):
            as_source(tmp_path / "nothing.flac")

    def test_without_soundfile_it_says_what_to_install(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, speech: Path
    ) -> None:
        soundfile.write(tmp_path / "speech.flac", SPEECH, 16000)
        monkeypatch.setitem(sys.modules, "soundfile", None)
        assert (read(speech) == SPEECH).all()
        with pytest.raises(AudioError, match=r'pip install "slng-sync\[files\]"'):
            as_source(tmp_path / "speech.flac")


@pytest.fixture
def pipe() -> Iterator[Any]:
    """Return a function that writes a recording into a pipe, on a thread, and returns the reading end."""
    ends = os.pipe()
    reader, writer = os.fdopen(ends[0], "rb"), os.fdopen(ends[1], "wb")

    def write(recording: bytes) -> None:
        with writer:
            writer.write(recording)

    threads = []

    def filled(recording: bytes) -> Any:
        threads.append(threading.Thread(target=write, args=(recording,)))
        threads[-1].start()
        return reader

    with reader:
        yield filled
    for thread in threads:
        thread.join()


class TestFileObjects:
    def test_it_is_read_from_its_position_and_left_open(self, speech: Path) -> None:
        with speech.open("rb") as file:
            assert (read(file) == SPEECH).all()
            assert not file.closed
        with io.BytesIO(b"before" + SPEECH.tobytes()) as file:
            file.seek(6)
            assert (read(file, sample_rate=16000) == SPEECH).all()

    def test_an_unbuffered_file(self, speech: Path) -> None:
        with speech.open("rb", buffering=0) as file:
            assert (read(file) == SPEECH).all()

    def test_wav_is_read_from_a_pipe(self, pipe: Any) -> None:
        assert (read(pipe(wav(SPEECH.tobytes(), announced=0xFFFFFFFF))) == SPEECH).all()

    def test_raw_pcm_is_read_from_a_pipe(self, pipe: Any) -> None:
        assert (read(pipe(SPEECH.tobytes()), sample_rate=16000) == SPEECH).all()

    def test_other_formats_cannot_be_read_from_a_pipe(self, pipe: Any) -> None:
        with pytest.raises(AudioError, match="is a pipe and does not contain WAV audio"):
            read(pipe(b"fLaC, perhaps"))

    def test_an_empty_pipe(self, pipe: Any) -> None:
        with pytest.raises(AudioError, match="The file is empty"):
            read(pipe(b""), sample_rate=16000)

    def test_a_non_blocking_pipe(self) -> None:
        reader, writer = os.pipe()
        os.set_blocking(reader, False)
        with os.fdopen(writer, "wb"), os.fdopen(reader, "rb", buffering=0) as file, pytest.raises(
            AudioError, match="non-blocking mode"
        ):
            as_source(file, sample_rate=16000)

    def test_a_file_open_as_text_is_refused(self, speech: Path) -> None:
        with speech.open() as file, pytest.raises(ConfigurationError, match=r"opened in text mode.*'rb'"):
            as_source(file)
