"""Replacing the services of a running mesh by those of another image, one at a time, while training goes on.

What holds the training goes first and comes back before the next goes: whoever needs it waits meanwhile, as after a crash. The
replicas of a service go one by one.
"""

from __future__ import annotations

from collections.abc import Callable

from docker.models.containers import Container

from kaimesh.cluster.engine import Engine, wait_for

ORDER = ("monitor", "tensorboard", "model_pool", "buffer", "learner", "learner-gpu", "actor", "actor-gpu", "aisrv")
READY_S = 180.0

Compose = Callable[..., str]
Say = Callable[[str], None]


def outdated(engine: Engine, container: Container) -> bool:
    """Whether its image's name stands for another image by now."""
    wanted = engine.client.images.get(container.attrs["Config"]["Image"]).id
    return bool(container.attrs["Image"] != wanted)


def upgrade(engine: Engine, compose: Compose, say: Say) -> int:
    """Replaces every outdated container of a Compose project; returns how many. Raises MeshError, PeerError."""
    done = 0
    for service in sorted({engine.service_of(c) for c in engine.containers()} & set(ORDER), key=_rank):
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


def upgrade_stack(engine: Engine, image: str, say: Say) -> int:
    """The same for a Swarm stack, whose own rolling update it is, one service after the other."""
    services = engine.client.services.list(filters={"label": f"com.docker.stack.namespace={engine.name}"})
    for service in sorted(services, key=lambda s: _rank(s.name.removeprefix(f"{engine.name}_"))):
        say(f"{service.name}: rolling update to {image}")
        service.update(image=image, force_update=True, fetch_current_spec=True)

        def over(service=service) -> bool:  # type: ignore[no-untyped-def]
            service.reload()
            return service.attrs.get("UpdateStatus", {}).get("State") not in (None, "updating")

        wait_for(over, READY_S * 4, f"{service.name} is updated")
    return len(services)


def _rank(service: str) -> int:
    return ORDER.index(service) if service in ORDER else -1


def _healthy(engine: Engine, service: str) -> int:
    return sum(1 for piece in engine.pieces() if piece.service == service and piece.health == "healthy")
