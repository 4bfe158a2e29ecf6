"""Push to talk: Enter opens the microphone to the model, Enter closes it again, q and Enter ends.

The connection stays up in between, so that the first word is not lost. SLNG_API_KEY is the key.
"""

from slng_sync import Client, Microphone, Soniox

client = Client(Soniox())


@client.on_final
def keep(transcript):
    print(">", transcript.text)


with client.listen(Microphone()) as session:
    session.pause()
    while input("Enter talks, q ends. ") != "q":
        with session.hold():
            input("Talking. Enter is the end of it. ")
        # Here the words of this turn are final, and were printed or are just about to be.
