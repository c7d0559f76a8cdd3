"""`python -m kaimesh.actor`."""

from kaimesh.process.life import main

if __name__ == "__main__":
    main("actor", "kaimesh.actor.service.ActorService")
