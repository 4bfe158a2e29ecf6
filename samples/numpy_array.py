"""Audio that a program has in an array: python numpy_array.py talk.wav

The WAV file stands for whatever makes your arrays. Integers or floats in [-1, 1]; one channel, or frames x
channels. SLNG_API_KEY is the key.
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

# All at once, when the whole array is there:
print("Transcribed:", client.transcribe(audio, sample_rate=rate))

# In pieces, as they are made. send() returns at once while there is room, and waits while there is none.
with client.listen(sample_rate=rate, channels=audio.shape[1]) as session:
    for start in range(0, len(audio), rate // 10):
        session.send(audio[start : start + rate // 10])
print("Sent in pieces:", session.transcript)
