import subprocess
import sys
from typing import Any

import pytest

from slng_sync.audio.format import AudioFormat
from slng_sync.errors import ConfigurationError


def test_seconds_and_frames_are_inverse() -> None:
    audio_format = AudioFormat(44100, 2)
    assert audio_format.frame_bytes == 4
    assert audio_format.frames(0.05) == 2205
    assert audio_format.seconds(2205) == 0.05
    assert str(audio_format) == "44100 Hz, 2 channels"


@pytest.mark.parametrize("sample_rate", [0, 999, 768001, 16000.0, True, "16000", None])
def test_an_invalid_rate_is_refused(sample_rate: Any) -> None:
    with pytest.raises(ConfigurationError, match="sample_rate must be an integer"):
        AudioFormat(sample_rate)


@pytest.mark.parametrize("channels", [0, 33, 1.0, True, None])
def test_invalid_channels_are_refused(channels: Any) -> None:
    with pytest.raises(ConfigurationError, match="channels must be an integer"):
        AudioFormat(16000, channels)


def test_importing_the_package_imports_no_audio_library() -> None:
    program = (
        "import sys, slng_sync.audio.source, slng_sync.microphone.microphone;"
        "print([m for m in ('numpy', 'pyaudio', 'soxr', 'soundfile') if m in sys.modules])"
    )
    loaded = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, check=True)
    assert loaded.stdout.strip() == b"[]"
