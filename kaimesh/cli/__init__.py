"""The command line that tools/*.sh wrap: `python -m kaimesh.cli start | stop | restart | status | logs`.

commands   the arguments and their help
start      from a configuration to a running mesh
stop       stopping and restarting what a run's mesh.json names
logs       showing and following the processes' logs
"""
