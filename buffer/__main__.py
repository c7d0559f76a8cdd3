"""`python -m buffer`."""

from kaimesh.lifecycle import main

if __name__ == "__main__":
    main("buffer", "kaimesh.buffer.service.BufferService")
