"""Memory of the process, kept from one step to the next."""

import ctypes
import sys

# Of glibc's malloc.h: never give memory back, never take any as a mapping of its own, and have one
# pool, for those of threads are too small for large blocks and would take mappings all the same.
_SETTINGS = ((-1, -1), (-4, 0), (-8, 1))


def keep() -> bool:
    """Has the C library keep what is freed; for commands, which compute the same again and again.

    On a CPU XLA asks for a step's temporary memory anew each time. By default glibc gives so large
    a block back to the system, which then clears every page of the next one. Call it before JAX
    starts threads.

    Returns:
      Whether the C library can do so; other than glibc none has to be told.
    """
    if sys.platform != "linux":
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    done = [mallopt(option, value) for option, value in _SETTINGS]
    return all(done)
