"""Becomes the given program, bound to its parent: the kernel kills it the moment the parent is gone.

Run as a script: `python bound.py <parent pid> <program> <arguments...>`. A program of its own and not a `preexec_fn`,
because Python code between fork and exec may deadlock in a parent that has threads.
"""

import ctypes
import os
import signal
import sys
from typing import Final

_PR_SET_PDEATHSIG: Final = 1


def main() -> None:
    """Ask for the signal, make sure the parent has not died before that, become the program."""
    parent = int(sys.argv[1])
    command = sys.argv[2:]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit(f"{command[0]}: not started, its parent {parent} is gone already")
    try:
        os.execvp(command[0], command)  # noqa: S606 - replacing this process is the point
    except OSError as error:
        sys.exit(f"{command[0]}: {error.strerror}")


if __name__ == "__main__":
    main()
