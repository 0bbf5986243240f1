"""Settings for all tests."""

from hypothesis import settings

# The machine's speed is no property of the code. A failing example prints what reproduces it.
settings.register_profile("hwsim", deadline=None, print_blob=True)
settings.load_profile("hwsim")
