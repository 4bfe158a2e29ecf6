"""What audio is and where it comes from: formats, conversion, files, sources, pacing, voice activity, levels.

Imports ``errors``, ``events`` and ``validation``. Imported by everything that handles audio.
"""
