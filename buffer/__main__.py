"""`python -m kaimesh.buffer`."""

from kaimesh.process.life import main

if __name__ == "__main__":
    main("buffer", "kaimesh.buffer.service.BufferService")
