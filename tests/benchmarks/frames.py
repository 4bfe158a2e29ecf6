"""What the models answer with: an utterance of five seconds, again and again, a frame every 100 ms.

Each maker gives a greeting and an endless iterator of functions that take the seconds of audio so far and the
nanosecond of leaving, and give a frame. The words are made beforehand, so that a frame costs next to nothing.
"""

import itertools
import json
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple

FRAMES_IN_UTTERANCE = 50
OPEN_TOKENS = 8
"""Tokens that may still change at any time, some 0.8 s of speech."""
WORDS = "the quick brown fox will jump over a very lazy dog while nobody looks at it".split()
STAMP = b"@stamp@"

LABELS = {"speaker": "1", "language": "en"}
ORIGINAL = {**LABELS, "translation_status": "original"}

Frame = Callable[[float, int], bytes]
Made = Tuple[Optional[bytes], Iterator[Frame]]


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _token(at: int, is_final: bool, **labels: Any) -> Dict[str, Any]:
    word = WORDS[at // 2 % len(WORDS)]
    half = (len(word) + 1) // 2
    said = word[half:] if at % 2 else f" {word[:half]}"
    begin = at * 100
    return {
        "text": said,
        "start_ms": begin,
        "end_ms": begin + 90,
        "confidence": 0.97,
        "is_final": is_final,
        **labels,
    }


def _translated(at: int, is_final: bool) -> Dict[str, Any]:
    return {
        "text": f" mot{at}",
        "is_final": is_final,
        "translation_status": "translation",
        "language": "fr",
        "source_language": "en",
    }


def _tokens(at: int, **labels: Any) -> List[Dict[str, Any]]:
    if at == FRAMES_IN_UTTERANCE - 1:
        tokens = [_token(each, True, **labels) for each in range(max(0, at - OPEN_TOKENS), at + 1)]
        return [*tokens, {"text": "<end>", "is_final": True}]
    final = [_token(at - OPEN_TOKENS, True, **labels)] if at >= OPEN_TOKENS else []
    return final + [_token(each, False, **labels) for each in range(max(0, at - OPEN_TOKENS + 1), at + 1)]


def _translated_tokens(at: int) -> List[Dict[str, Any]]:
    """The same number of tokens; every second frame has a word of the translation in it."""
    tokens = _tokens(at, **ORIGINAL)
    if at >= OPEN_TOKENS and at % 2:
        tokens[1:2] = [_translated(at, True)]
    return tokens


def soniox() -> Made:
    """Tokens, eight of them open, one more final with each frame, an endpoint after five seconds."""
    return None, itertools.cycle(_SONIOX)


def soniox_with_speakers() -> Made:
    """The same; each token tells of its speaker and its language."""
    return None, itertools.cycle(_SONIOX_WITH_SPEAKERS)


def soniox_with_translation() -> Made:
    """The same with a translation; five words of it a second."""
    return None, itertools.cycle(_SONIOX_WITH_TRANSLATION)


def _soniox_frame(tokens: bytes) -> Frame:
    def make(seconds: float, now: int) -> bytes:
        ms = int(seconds * 1000)
        return b'{"tokens":%b,"final_audio_proc_ms":%d,"total_audio_proc_ms":%d,"stamp":%d}' % (
            tokens,
            max(0, ms - 800),
            ms,
            now,
        )

    return make


def _stamped(frame: Dict[str, Any]) -> Frame:
    before, after = _json(frame).split(b'"' + STAMP + b'"')

    def make(seconds: float, now: int) -> bytes:
        return b"%b%d%b" % (before, now, after)

    return make


def _said(at: int) -> str:
    return " ".join(WORDS[each % len(WORDS)] for each in range(at // 2 + 1))


def _reson8_frame(at: int) -> Frame:
    final = at == FRAMES_IN_UTTERANCE - 1
    kind = "final_transcript" if final else "partial_transcript"
    said = _said(at) + ("" if at % 2 else " mm")
    return _stamped(
        {"type": kind, "transcript": said, "confidence": 0.97, "language": "en", "stamp": STAMP.decode()}
    )


def reson8() -> Made:
    """The whole partial with each frame, a final after five seconds."""
    return _json({"type": "ready", "session_id": "b"}), itertools.cycle(_RESON8)


def _assemblyai_frame(at: int) -> Frame:
    words: List[Dict[str, Any]] = [
        {
            "start": each * 200,
            "end": each * 200 + 180,
            "confidence": 0.97,
            "text": word,
            "word_is_final": True,
        }
        for each, word in enumerate(_said(at).split())
    ]
    frame = {
        "type": "Turn",
        "turn_order": 0,
        "turn_is_formatted": False,
        "end_of_turn": at == FRAMES_IN_UTTERANCE - 1,
        "transcript": _said(at),
        "end_of_turn_confidence": 0.5,
        "words": words,
        "language_confidence": STAMP.decode(),
    }
    return _stamped(frame)


def assemblyai() -> Made:
    """Turns with all their words."""
    begin = _json({"type": "Begin", "id": "b", "expires_at": "2030-01-01T00:00:00Z"})
    return begin, itertools.cycle(_ASSEMBLYAI)


def _deepgram_frame(at: int) -> Frame:
    words = [
        {
            "word": word,
            "start": each * 0.2,
            "end": each * 0.2 + 0.18,
            "confidence": 0.97,
            "punctuated_word": word,
        }
        for each, word in enumerate(_said(at).split())
    ]
    final = at == FRAMES_IN_UTTERANCE - 1
    return _stamped(
        {
            "type": "Results",
            "channel_index": [0, 1],
            "duration": 0.1,
            "start": at * 0.1,
            "is_final": final,
            "speech_final": final,
            "channel": {"alternatives": [{"transcript": _said(at), "confidence": 0.97, "words": words}]},
            "metadata": {
                "request_id": "b",
                "model_info": {"name": "n", "version": "v", "arch": "a"},
                "model_uuid": "u",
            },
            "stamp": STAMP.decode(),
        }
    )


def deepgram() -> Made:
    """Results with all the words of the utterance."""
    return None, itertools.cycle(_DEEPGRAM)


_EACH = range(FRAMES_IN_UTTERANCE)
_SONIOX = [_soniox_frame(_json(_tokens(at))) for at in _EACH]
_SONIOX_WITH_SPEAKERS = [_soniox_frame(_json(_tokens(at, **LABELS))) for at in _EACH]
_SONIOX_WITH_TRANSLATION = [_soniox_frame(_json(_translated_tokens(at))) for at in _EACH]
_RESON8 = [_reson8_frame(at) for at in _EACH]
_ASSEMBLYAI = [_assemblyai_frame(at) for at in _EACH]
_DEEPGRAM = [_deepgram_frame(at) for at in _EACH]

FRAMES_OF: Dict[str, Callable[[], Made]] = {
    "/v1/stt/soniox": soniox,
    "/v1/stt/reson8": reson8,
    "/soniox": soniox,
    "/v3/ws": assemblyai,
    "/v1/listen": deepgram,
}
