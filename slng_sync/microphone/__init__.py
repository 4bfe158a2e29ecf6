"""The microphone: finding a device, reading it, noticing that it is gone or silent.

Owns every call into PortAudio; the only importer of ``pyaudio``. Imports ``audio``. Imported by ``doctor``
and ``cli``.
"""
