"""What starts, watches and stops the mesh, on one machine and in a cluster.

cli          tools/*.sh: start, stop, status, logs
local        the mesh as processes of one machine: supervisord and the keeper
cluster      the mesh in containers
package      a folder of agents and its model in one zip; what fails of one
train_test   what train_test.py runs
serial       the mesh in one process
serial_keys  which keys of the configuration mean nothing there
frozen       finds a process that does not run at all
view         what is going on, as rows: for the terminal, the status page and programs
"""
