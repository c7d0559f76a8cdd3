"""The mesh. This folder holds the ground: the packages that all others import. The other packages are folders at the
root of the checkout, each of them linked into this one.

agent     what users' agents and environments import: the public part of `contract`

The ground is five packages, listed from the bottom up; each may import only those listed before it:

contract  agents, environments and data, as every process understands them
config    reads and validates the configuration
wire      framed TCP and gRPC
process   what every process has: start and stop, logs, status, files
training  learns, dumps, resume

Above the ground are the services aisrv, actor, learner, model_pool and buffer, with algorithms and envs. Above these,
`operate` starts, watches and stops the mesh, and `arena` measures how good a model is.
"""
