"""`python -m actor`."""

from kaimesh.lifecycle import main

if __name__ == "__main__":
    main("actor", "kaimesh.actor.service.ActorService")
