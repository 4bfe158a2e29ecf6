"""One stream of audio from ``Client.listen()`` to ``close()``: the I/O loop, reconnecting, audio input, many channels.

Imports everything below it. Imported by ``client``, ``replay`` and ``progress``.
"""
