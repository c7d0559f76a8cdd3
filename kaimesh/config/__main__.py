"""`python -m kaimesh.config > docs/config.md`."""

import os
import signal

from kaimesh.config.document import markdown

if __name__ == "__main__":
    try:
        print(markdown(), end="", flush=True)
    except BrokenPipeError:  # `| head`
        os._exit(128 + signal.SIGPIPE)
