"""Where things are inside a container. docker/Dockerfile makes the folders, docker-compose.yml mounts volumes there."""

from pathlib import Path

CONF = Path("conf/configure_app.toml")  # the user's
MESH = Path("/mesh")  # what `setup` leaves for every container of a machine
MESH_CONF = MESH / "configure_app.toml"  # the user's file as the last `up` found it
GENERATION = MESH / "generation"  # changes when an `up` found another configuration or agent
TOKEN = MESH / "token"
RUNS = Path("/runs")
CURVES = Path("/curves")  # what TensorBoard reads
CHILD = Path("/tmp/kaimesh-process.json")
CURVES_PORT = 6006
