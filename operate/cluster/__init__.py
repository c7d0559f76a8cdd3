"""The mesh in containers: how a process runs in one, how its health is checked, and how the mesh is watched.

The image runs `python -m kaimesh.operate.cluster`: `serve ROLE` is a container's command and `probe` its health check;
`setup` makes the token and checks the configuration before anything starts. docker-compose.yml puts the containers
together.

serve     runs one process, as a container's only work
setup     makes the token, checks the configuration
probe     whether the container's process is ready
replica   which of a service's replicas this container is
monitor   the process that all others report to: status files, curves, status page
status    checks what a peer reports
places    paths inside a container
tool      tools/cluster.sh
engine    the containers of one mesh, through the Docker SDK
upgrade   Compose: replaces containers by those of a newer image, one at a time
stack     Swarm: scaling and upgrading
"""
