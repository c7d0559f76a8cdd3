"""The keeper: starts a run's processes in order of health, watches limits and failures, and writes the run's result.

supervisord starts it first and stops it last. It talks to supervisord and reads the status files; no process talks to it.
When it dies, supervisord starts it again and it goes on from mesh.json; training does not notice.

service   the loop
rules     when a process is healthy, finished, or a reason to end the run; pure
"""
