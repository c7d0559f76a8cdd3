"""Replacing the containers of a Compose project by those of another image, one at a time, while training goes on.

What holds the training goes first and comes back before the next goes: whoever needs it waits meanwhile, as after a crash. The
replicas of a service go one by one.
"""

from __future__ import annotations

from collections.abc import Callable

from docker.models.containers import Container

from kaimesh.operate.cluster.engine import Engine, wait_for

ORDER = ("monitor", "tensorboard", "model_pool", "buffer", "learner", "learner-gpu", "actor", "actor-gpu", "aisrv")
READY_S = 180.0

Compose = Callable[..., str]
Say = Callable[[str], None]


def outdated(engine: Engine, container: Container) -> bool:
    """Whether its image's name stands for another image by now."""
    wanted = engine.client.images.get(container.attrs["Config"]["Image"]).id
    return bool(container.attrs["Image"] != wanted)


def upgrade(engine: Engine, compose: Compose, say: Say) -> int:
    """Replaces every outdated container; returns how many. Raises MeshError, PeerError."""
    done = 0
    for service in sorted({engine.service_of(c) for c in engine.containers()} & set(ORDER), key=rank):
        containers = engine.containers(service, running=True)
        for old in containers:
            if outdated(engine, old):
                say(f"{old.name}: replacing")
                _replace(engine, compose, old, service, len(containers))
                done += 1
    return done


def _replace(engine: Engine, compose: Compose, old: Container, service: str, count: int) -> None:
    old.stop(timeout=int(old.attrs["Config"].get("StopTimeout") or 60))
    old.remove()
    scale = f"{service}={count}"
    compose("up", "-d", "--no-deps", "--no-recreate", "--no-build", "--scale", scale, service)
    wait_for(lambda: _healthy(engine, service) >= count, READY_S, f"{service} is healthy")


def rank(service: str) -> int:
    """Where a service stands in the order; what is not known comes first."""
    return ORDER.index(service) if service in ORDER else -1


def _healthy(engine: Engine, service: str) -> int:
    return sum(1 for piece in engine.pieces() if piece.service == service and piece.health == "healthy")
