"""Real human speech, through the whole client and a real recogniser.

The recogniser is small and offline. It gets a fifth of these readers' words wrong, with any client. So the
tests allow a share of wrong words, and expect an exact result only for one simple command.
"""

import re
import time
from pathlib import Path
from typing import Dict, Iterator, List

import pytest
from virtual_microphone import VirtualMicrophone

from slng_sync import Client, Dialect, Microphone, Reson8, Soniox
from slng_sync.gateway import LocalGateway

TESTDATA = Path("/usr/share/pocketsphinx/test/data")
SAMPLES = Path(__file__).parents[2] / "samples" / "speech"
BOTH = pytest.mark.parametrize("dialect", [Reson8(), Soniox()], ids=["reson8", "soniox"])


def words(text: str) -> List[str]:
    return re.findall(r"[a-z']+", text.lower())


def errors(spoken: List[str], recognized: List[str]) -> int:
    """Return the fewest words to change, remove or insert (Levenshtein)."""
    row = list(range(len(recognized) + 1))
    for i, word in enumerate(spoken, 1):
        diagonal, row[0] = row[0], i
        for j, other in enumerate(recognized, 1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (word != other))
    return row[-1]


def readings() -> Dict[Path, str]:
    """Return the LibriVox cuts and playing cards of Debian's pocketsphinx-testdata, and their texts."""
    found: Dict[Path, str] = {}
    for folder, name in (("librivox", "transcription"), ("cards", "cards.transcription")):
        for line in (TESTDATA / folder / name).read_text().splitlines():
            match = re.fullmatch(r"(?:<s>)?(.*?)(?:</s>)? *\((\S+)\)", line.strip())
            if match:
                found[TESTDATA / folder / f"{match[2]}.wav"] = match[1]
    assert len(found) >= 8, "apt-get install pocketsphinx-testdata"
    return found


@pytest.fixture
def gateway_url() -> Iterator[str]:
    """Yield the URL of a gateway with its own recogniser."""
    with LocalGateway(engine="recognizer") as gateway:
        yield gateway.url
        assert gateway.breaches == []


# The recogniser needs CPU time, and the machine may be busy with other tests.
@pytest.mark.timeout(180)
@BOTH
def test_most_words_of_real_readers_are_recognized(dialect: Dialect, gateway_url: str) -> None:
    """At most three words in ten are wrong in all recordings, and two in ten in the cards alone."""
    client = Client(dialect, api_key="any", base_url=gateway_url)
    wrong = {"librivox": 0, "cards": 0}
    total = {"librivox": 0, "cards": 0}
    for path, spoken in readings().items():
        log = client.transcribe(path, speed=4)
        wrong[path.parent.name] += errors(words(spoken), words(log.text))
        total[path.parent.name] += len(words(spoken))
    assert sum(wrong.values()) <= 0.3 * sum(total.values()), (wrong, total)
    assert wrong["cards"] <= 0.2 * total["cards"], (wrong, total)


@BOTH
def test_a_command_is_recognized_exactly(dialect: Dialect, gateway_url: str) -> None:
    """Partials precede the final. The times of the words are in order, and within the audio."""
    partials: List[str] = []
    client = Client(
        dialect, api_key="any", base_url=gateway_url, on_partial=lambda each: partials.append(each.text)
    )
    log = client.transcribe(SAMPLES / "goforward.wav")
    assert log.text == "go forward ten meters"
    assert len(set(partials)) >= 3
    starts = [word.start for word in log.words]
    assert starts == sorted(starts)
    assert 0 < log.words[0].start < log.words[-1].end < 3.0
    assert all(0 <= word.confidence <= 1 for word in log.words if word.confidence is not None)


@BOTH
def test_speech_into_a_microphone_gives_its_words(dialect: Dialect) -> None:
    """The audio passes PulseAudio, PortAudio and the whole client unchanged, and gives the right words."""
    speech = (TESTDATA / "goforward.raw").read_bytes()
    finals: List[str] = []
    with VirtualMicrophone() as microphone, LocalGateway(engine="recognizer") as gateway:
        client = Client(dialect, api_key="any", base_url=gateway.url)
        with client.listen(Microphone()) as session:
            client.on_final(lambda transcript: finals.append(transcript.text))
            while not session.stats.captured:
                time.sleep(0.01)
            microphone.play_pcm(speech + bytes(32000)).wait()
            session.finalize()
        assert gateway.breaches == []
        sent = bytes(gateway.connections[0].audio)
    assert finals == ["go forward ten meters"]
    assert speech.strip(b"\0") in sent
