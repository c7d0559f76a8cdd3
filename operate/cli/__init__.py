"""The command line that tools/*.sh wrap: `python -m kaimesh.operate.cli start | stop | restart | status | logs`.

commands   the arguments and their help
start      from a configuration to a running mesh
resume     which run --resume goes on with, and what fits it
trial      building the environment once, before anything is written
builder    the process that does it
undo       putting a run's directory back where a start fails
stop       stopping and restarting what a run's mesh.json names
logs       showing and following the processes' logs
"""
