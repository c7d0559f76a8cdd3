"""The mesh as processes of one machine.

supervise    configures and starts supervisord, and calls it
supervisord  supervisord's program, changed so that a full disk does not end it
own          runs a process of the user's own
keeper       starts and watches the processes, ends the run
mesh_file    mesh.json, and which processes of a run are alive
"""
