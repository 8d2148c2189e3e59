"""What native code writes, overheard: passed on, held back or put in our words."""

import pytest
from spawned import run_program


def test_what_native_code_writes_comes_through_and_a_lost_process_in_our_words():
    done = run_program(
        "import ctypes, os, sys",
        "from zoo.runtime import filter_native_output",
        "def lost(news):",
        "    print('heard', news.count('task'), file=sys.stderr)",
        "    os._exit(9)",
        "filter_native_output(lost)",
        "os.write(2, b'an innocent line\\n')",
        "os.write(1, b'[Gloo] Rank 0 is connected to 1 peer ranks.\\n')",
        "os.write(2, b'E1121 14:41:01.6 45 coordination_service_agent.cc:288] a task\\n')",
        "os.write(2, b'the task\\n*** Check failure stack trace: ***\\n')",
        "ctypes.CDLL(None).abort()",
    )
    assert done.returncode == 9
    assert done.stderr.splitlines() == ["an innocent line", "heard 2"]
    assert not done.stdout


@pytest.mark.matrix
def test_an_error_from_which_the_service_recovers_holds_nothing_back_for_long():
    error = "E1121 14:41:01.6 45 coordination_service_agent.cc:288] a stumble"
    done = run_program(
        "import os, sys, time",
        "from zoo import runtime",
        "runtime._HOLD = 0.5",
        "stop = runtime.filter_native_output(lambda news: os._exit(9))",
        f"os.write(2, b'{error}\\n')",
        # Without a pause, in which the breath would not end by itself.
        "for n in range(20):",
        "    os.write(2, b'line %d\\n' % n)",
        "    time.sleep(0.1)",
        "    if n == 15:",
        "        print('now', file=sys.stderr)",
        f"os.write(2, b'{error}\\n')",
        "time.sleep(1)",
        "print('later', file=sys.stderr)",
        # Of a second stumble the end of the process must not keep the news.
        f"os.write(2, b'{error}\\nlast words')",
        "stop()",
    )
    assert done.returncode == 0
    said = done.stderr.splitlines()
    lines = [error, *(f"line {n}" for n in range(20)), error, error, "last words"]
    assert [line for line in said if line not in ("now", "later")] == lines
    # What came before was out long before the end.
    assert said.index("now") > said.index("line 5")
    assert said.index("later") == said.index("line 19") + 2


def test_the_streams_can_be_given_back_and_leave_nothing_behind():
    done = run_program(
        "import gc, os, sys, threading, warnings",
        "from zoo import runtime",
        "warnings.simplefilter('error')",
        "before, running = (sys.stdout, sys.stderr), threading.active_count()",
        "stop = runtime.filter_native_output(lambda news: None)",
        "handle = sys.stderr",
        "os.write(1, b'native\\n')",
        "print('ours')",
        "stop()",
        "assert (sys.stdout, sys.stderr) == before",
        "assert threading.active_count() == running",
        "print('a handler of logging', file=handle)",
        "handle = None",
        "gc.collect()",
        "os.write(2, b'plain\\n')",
    )
    assert done.returncode == 0
    assert done.stdout.splitlines() == ["ours"]
    # A warning from a destructor would be a line here.
    assert sorted(done.stderr.splitlines()) == ["a handler of logging", "native", "plain"]
