"""The mesh. The ground that everything stands on is here; the other rooms stand at the checkout's root, each linked into this folder.

agent     what users' agents and environments import: the public face of `contract`

The ground, five rooms from the bottom up; each imports those before it alone:

contract  agents, environments and data, as every process understands them
config    from a file to a validated configuration
wire      framed TCP and gRPC
process   one process: its life, its logs, what it says of itself, its files
training  learns, dumps, resume

On it stand the services aisrv, actor, learner, model_pool and buffer, with algorithms and envs; on top, `operate` starts, watches
and stops the mesh, and `arena` judges models.
"""
