"""Audio formats, conversion, files, sources, pacing, voice activity and levels.

Imports ``errors``, ``events`` and ``validation``. Every package that handles audio imports it.
"""
