"""The mesh in containers: what starts in one, how it is found healthy, and how the whole is watched from one place.

`python -m kaimesh.operate.cluster serve ROLE` is what a container runs; `probe` its health check; `setup` makes the token and
checks the configuration before anything starts. docker-compose.yml says how they are put together.

serve     one process of the mesh as a container's only work: start, park, follow the configuration
setup     token, configuration
probe     whether a container's process is ready; light, for it runs every few seconds
replica   which of a service's replicas this container is
monitor   the process that every other one reports to: status files, curves, status page
status    what a peer may report, checked
places    where things are inside a container
tool      tools/cluster.sh
engine    the containers of one mesh, on the Docker SDK
upgrade   Compose: another image, a container at a time
stack     what Swarm does differently
"""
