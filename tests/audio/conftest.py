from hypothesis import settings

# No deadline for examples: a busy machine must not fail the tests.
settings.register_profile("audio", deadline=None)
settings.load_profile("audio")
