"""Transcribe a NumPy array: python numpy_array.py talk.wav

The WAV file only serves to make an array. Arrays hold integers or floats in [-1, 1], with one channel or with
the shape frames x channels. Needs the API key in SLNG_API_KEY.
"""

import sys
import wave

import numpy as np

from slng_sync import Client, Soniox

with wave.open(sys.argv[1]) as file:
    if file.getsampwidth() != 2:
        sys.exit("16-bit samples only.")
    rate = file.getframerate()
    samples = np.frombuffer(file.readframes(file.getnframes()), dtype="<i2").reshape(-1, file.getnchannels())
audio = samples.astype(np.float32) / 32768

client = Client(Soniox())

# Transcribe the whole array at once:
print("Transcribed:", client.transcribe(audio, sample_rate=rate))

# Send it in chunks, as a recording program would. send() waits while the buffer is full.
with client.listen(sample_rate=rate, channels=audio.shape[1]) as session:
    for start in range(0, len(audio), rate // 10):
        session.send(audio[start : start + rate // 10])
print("Sent in chunks:", session.transcript)
