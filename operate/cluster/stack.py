"""Scaling and upgrading on Swarm, which has rolling updates of its own."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping

from docker.models.services import Service

from kaimesh.config.roles import AISRV, Role
from kaimesh.contract.errors import MeshError
from kaimesh.operate.cluster.engine import Engine, wait_for
from kaimesh.operate.cluster.upgrade import Say, rank

UPDATED_S = 900.0
MESH_SECRET = "kaimesh_token"  # docker-compose.yml: the mesh token's secret


def scale(engine: Engine, count: int) -> None:
    """Changes how many aisrv there are; the others go on. Raises MeshError with what the engine said.

    It uses the command line because the SDK's `Service.scale` writes defaults into the service, which replaces all its
    tasks.
    """
    words = ["docker", "service", "scale", "--detach", f"{engine.name}_{AISRV.name}={count}"]
    done = subprocess.run(words, text=True, capture_output=True)
    if done.returncode:
        raise MeshError(
            f"{' '.join(words)} failed; nothing more was done. It said, and there is the remedy:\n{done.stderr}"
        )


def upgrade(engine: Engine, roles: Mapping[str, Role], image: str, say: Say) -> int:
    """Updates one service after the other; returns how many. Raises MeshError, PeerError: one could not be updated."""
    services = engine.client.services.list(filters={"label": f"{engine.label}={engine.name}"})
    for service in sorted(services, key=lambda s: rank(s.name.removeprefix(f"{engine.name}_"), roles)):
        say(f"{service.name}: rolling update to {image}")
        service.reload()  # an update needs the version that it changes
        service.update(image=image, force_update=True, fetch_current_spec=True)
        _wait(service, image)
    for service in services:
        role = roles.get(service.name.removeprefix(f"{engine.name}_"))
        if role and not (_serves(role) or role.trusted) and MESH_SECRET in _secrets(service):
            say(
                f"warning: {service.name} still holds the mesh token, which has every right, for another image changes "
                f"no secret. Give it its role's: make the secret kaimesh_{role.name}_token as docs/cluster.md says, "
                "and deploy docker-compose.yml again."
            )
    return len(services)


def _serves(role: Role) -> bool:
    """Whether its processes open a port, and so need the mesh token, to check what others show."""
    return bool(role.keys or role.own.get("addresses"))


def _secrets(service: Service) -> set[str]:
    found = service.attrs["Spec"]["TaskTemplate"]["ContainerSpec"].get("Secrets") or []
    return {str(secret["SecretName"]) for secret in found}


def _wait(service: Service, image: str) -> None:
    wait_for(lambda: _state(service) not in ("", "updating"), UPDATED_S, f"{service.name} is updated to {image}")
    if (state := _state(service)) != "completed":
        raise MeshError(
            f"{service.name} could not be updated to {image} ({state}: {service.attrs['UpdateStatus']['Message']}); "
            f"the services after it were left as they are. Why: docker service ps --no-trunc {service.name}. Back: "
            f"docker service rollback {service.name}"
        )


def _state(service: Service) -> str:
    service.reload()
    return str(service.attrs.get("UpdateStatus", {}).get("State", ""))
