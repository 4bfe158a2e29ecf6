"""Transcribe the microphone live until Enter is pressed. Needs the API key in SLNG_API_KEY."""

from slng_sync import Client, Microphone, Soniox

client = Client(Soniox(language_hints=["en"]))


@client.on_partial
def show(transcript):
    print(transcript.text, end="\r")


@client.on_final
def keep(transcript):
    print(transcript.text)


with client.listen(Microphone()):
    input("Speak. Enter stops.\n")
