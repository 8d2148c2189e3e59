"""The environment of a process that a test starts: that of a user, whatever the tests pretend."""

import os


def user_environment(cache=None, **more):
    """This one, with the devices that there are.

    Args:
      cache: a folder for compiled programs, which then need compiling once; without it none are
        kept.
      **more: further variables.
    """
    kept = {k: v for k, v in os.environ.items() if k != "XLA_FLAGS"}
    if cache is not None:
        kept |= {"XDG_CACHE_HOME": str(cache), "JAX_ENABLE_COMPILATION_CACHE": "true"}
    return {**kept, **more}
