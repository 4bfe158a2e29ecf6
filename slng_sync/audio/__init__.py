"""Audio: its formats, files, arrays and microphones."""
