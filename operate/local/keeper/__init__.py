"""The keeper: starts a run's processes stage by stage, watches limits and failures, and writes the run's result.

supervisord starts it first and stops it last. It calls supervisord and reads the status files; no process calls it.
When it dies, supervisord starts it again and it goes on from mesh.json; training is not affected.

service   the loop
rules     when a process is healthy, has finished, or is a reason to end the run; pure functions
"""
