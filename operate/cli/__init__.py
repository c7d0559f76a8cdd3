"""The command line that tools/*.sh wrap: `python -m kaimesh.operate.cli start | stop | restart | status | logs`.

commands   the arguments and their help
start      starts a mesh from a configuration
code       the folder of agents that --code names
evaluating  run_mode = eval: evaluates a model in place of a start
resume     finds the run that --resume continues, and checks that the configuration fits it
trial      builds the environment once, before anything is written
builder    the process in which it is built
undo       restores a run's directory when a start fails
stop       stops and restarts a run's processes
logs       shows and follows the processes' logs
"""
