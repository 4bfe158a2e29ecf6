"""Push to talk: Enter starts sending the microphone, Enter stops it again, q and Enter quits.

The connection stays open in between, so that the first word is not lost. Needs the API key in SLNG_API_KEY.
"""

from slng_sync import Client, Microphone, Soniox

client = Client(Soniox())


@client.on_final
def keep(transcript):
    print(">", transcript.text)


with client.listen(Microphone()) as session:
    session.pause()
    while input("Press Enter to talk, q and Enter to quit. ") != "q":
        with session.hold():
            input("Talking. Press Enter to stop. ")
        # The words of this turn are final now. The callback has printed them or is about to.
