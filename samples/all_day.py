"""Transcribe the microphone all day. Only speech is sent, and each final is printed with the time of day.

If a headset is unplugged or the network fails, the program says so and goes on. Ctrl-C stops it after the
last words. Needs slng-sync[mic,vad] and the API key in SLNG_API_KEY.
"""

import time

from slng_sync import (
    AudioLost,
    Client,
    Microphone,
    MicrophoneLost,
    MicrophoneRestored,
    MicrophoneSilent,
    Reconnecting,
    Soniox,
)

client = Client(Soniox(), max_attempts=1000)


@client.on_final
def keep(transcript):
    print(time.strftime("%H:%M:%S"), transcript.text)


@client.on_event
def report(event):
    if isinstance(event, MicrophoneLost):
        print("!", event.reason)
    elif isinstance(event, MicrophoneRestored):
        print(f"! {event.device} is back; {event.lost:.0f} s of audio were lost.")
    elif isinstance(event, MicrophoneSilent):
        print("! The microphone delivers only silence.", event.hint)
    elif isinstance(event, AudioLost):
        print(f"! {event.seconds:.1f} s of audio were lost: {event.reason}.")
    elif isinstance(event, Reconnecting):
        print("!", event.cause)


with client.listen(Microphone(patience=3600), gate=True, finalize_after=0.6) as session:
    print("Listening. Stop with Ctrl-C.")
    try:
        session.wait()
    except KeyboardInterrupt:
        pass
