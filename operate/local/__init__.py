"""The mesh as processes of one machine.

supervise    supervisord: its configuration and its calls
supervisord  the same program, with logs that a full disk cannot end
keeper       starts and watches the processes, ends the run
mesh_file    mesh.json, and which processes live
"""
