"""Paths inside a container. docker/Dockerfile makes the folders, docker-compose.yml mounts volumes there."""

import os
from collections.abc import Mapping
from pathlib import Path

from kaimesh.config.own_roles import read_roles
from kaimesh.config.roles import Role

CONF = Path("conf/configure_app.toml")  # the user's
MESH = Path("/mesh")  # what `setup` leaves for a container
MESH_CONF = MESH / "configure_app.toml"  # the user's file as the last `up` found it
GENERATION = MESH / "generation"  # changes when an `up` found another configuration or agent
TOKEN = MESH / "token"  # the mesh token; in a container of an untrusted role, that role's token
UNTRUSTED = Path("/untrusted")  # where `setup` has those roles' /mesh, a volume by each role's name
RUNS = Path("/runs")
TENSORBOARD = "tensorboard"  # a service that is none of the mesh's processes
CURVES = Path("/curves")  # what it reads
CHILD = Path("/tmp/kaimesh-process.json")
CURVES_PORT = 6006


def conf() -> Path:
    """The configuration that this container's process runs with."""
    return MESH_CONF if MESH_CONF.exists() else CONF


def roles() -> Mapping[str, Role]:
    """The roles of that configuration. Raises ConfigError."""
    return read_roles(conf(), os.environ)
