"""Microphones: find devices, read them, detect lost audio, lost devices and silence.

Owns every call into PortAudio and is the only package that imports ``pyaudio``. Imports ``audio``. Imported
by ``doctor`` and ``cli``.
"""
