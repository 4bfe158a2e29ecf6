"""Transcribe a recording to text and subtitles: python transcribe_file.py talk.wav

Needs the API key in SLNG_API_KEY. SLNG_BASE_URL may name another gateway, such as "slng-sync gateway".
"""

import sys
from pathlib import Path

from slng_sync import Client, SlngError, Soniox

if len(sys.argv) != 2:
    sys.exit("Usage: python transcribe_file.py RECORDING")
recording = Path(sys.argv[1])

try:
    transcript = Client(Soniox()).transcribe(recording, progress=True)
except SlngError as error:
    sys.exit(f"Cannot transcribe {recording}: {error}")

print(transcript)
for word in transcript.words:
    print(f"{word.start:7.2f} s  {word.text}")
transcript.save(recording.with_suffix(".srt"))
