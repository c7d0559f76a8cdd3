"""Replaces the containers of a Compose project by containers of another image, one at a time, while training goes on.

They are replaced in the order in which a mesh starts. Each is healthy again before the next is stopped; processes that
need it wait meanwhile, as after a crash.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from docker.models.containers import Container

from kaimesh.config.roles import Role
from kaimesh.operate.cluster.engine import ONE_SHOT, Engine, wait_for

READY_S = 180.0
GPU = "-gpu"  # the end of the name of a service's variant for a GPU: docker-compose.override.yml

Compose = Callable[..., str]
Say = Callable[[str], None]


def outdated(engine: Engine, container: Container) -> bool:
    """Whether its image's name refers to another image by now."""
    wanted = engine.client.images.get(container.attrs["Config"]["Image"]).id
    return bool(container.attrs["Image"] != wanted)


def upgrade(engine: Engine, roles: Mapping[str, Role], compose: Compose, say: Say) -> int:
    """Replaces every outdated container; returns how many. Raises MeshError, PeerError."""
    done = 0
    services = {engine.service_of(c) for c in engine.containers()} - {ONE_SHOT}
    for service in sorted(services, key=lambda service: rank(service, roles)):
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


def rank(service: str, roles: Mapping[str, Role]) -> tuple[int, int, str]:
    """Where a service stands in the order: by stages, as a mesh starts; what is no role of the mesh's comes first."""
    row = roles.get(service.removesuffix(GPU))
    return (row.stage, -row.stop, service) if row else (-1, 0, service)


def _healthy(engine: Engine, service: str) -> int:
    return sum(1 for piece in engine.pieces() if piece.service == service and piece.health == "healthy")
