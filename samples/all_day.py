"""The microphone all day long: only what is said goes out, and stands there with its time of day.

A headset may be unplugged meanwhile, and the network may go away: the program says so, and goes on. Ctrl-C
ends it, with the last words. It needs slng-sync[mic,vad]; SLNG_API_KEY is the key.
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
def tell(event):
    if isinstance(event, MicrophoneLost):
        print("!", event.reason)
    elif isinstance(event, MicrophoneRestored):
        print(f"! {event.device} is back; {event.lost:.0f} s were not heard.")
    elif isinstance(event, MicrophoneSilent):
        print("! The microphone gives nothing.", event.hint)
    elif isinstance(event, AudioLost):
        print(f"! {event.seconds:.1f} s were lost: {event.reason}.")
    elif isinstance(event, Reconnecting):
        print("!", event.cause)


with client.listen(Microphone(patience=3600), gate=True, finalize_after=0.6) as session:
    print("Listening. Ctrl-C ends.")
    try:
        session.wait()
    except KeyboardInterrupt:
        pass
