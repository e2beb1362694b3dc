"""The command ``pyem``, also as ``python -m pyem``: what is there from its first moment on."""

import os
import signal
import sys
from types import FrameType

INTERRUPTED = "interrupted: nothing was written"


def main() -> None:
    """Entry point of the command: Ctrl-C is answered in words while it is still starting, too."""
    signal.signal(signal.SIGINT, interrupted)
    try:
        from pyem.cli import main as run

        run()
    except KeyboardInterrupt:
        print(INTERRUPTED, file=sys.stderr)
        sys.exit(130)


def interrupted(_: int, frame: FrameType | None) -> None:
    """Answer Ctrl-C: with the usual exception, but with an end at once while something is imported.

    Code that is imported may catch an exception, or turn it into another one. Nothing is half written then.
    """
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            os.write(2, f"{INTERRUPTED}\n".encode())
            os._exit(130)
        frame = frame.f_back
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
