"""The other end of `worker.py`: answers each line of JSON that comes in; needs Python alone."""

import json
import os
import sys
from collections.abc import Callable, Mapping


def serve(handlers: Mapping[str, Callable[..., dict]]) -> None:
    """Answers requests until the standard input ends.

    Args:
      handlers: what to call for the `do` of a request, with its other values by name.
    """
    # Compilers and libraries may print; the pipe is for answers alone.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    # What is printed before an error stands before it.
    sys.stdout.reconfigure(line_buffering=True)
    for line in sys.stdin:
        request = json.loads(line)
        print(json.dumps(handlers[request.pop("do")](**request)), file=answers, flush=True)
