from hypothesis import settings

# A busy machine is no failure.
settings.register_profile("audio", deadline=None)
settings.load_profile("audio")
