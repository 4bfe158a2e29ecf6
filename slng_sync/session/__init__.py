"""One stream of audio from ``Client.listen()`` to ``close()``: its threads, reconnecting, many channels.

Imports everything below it. Imported by ``client``, ``replay`` and ``progress``.
"""
