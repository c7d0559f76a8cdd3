"""What the processes of a mesh are doing, and what they have done.

row       one process, as a row for the terminal, the page and programs
overview  the rows of a machine's mesh, from its run directory
cluster   the rows of a cluster's mesh, from what the monitor was told
totals    sums over all processes
progress  the live view in a terminal
page      the status page of a cluster
ledger    adds up a process's counters over its restarts, on whatever machine
books     whether every sample is in a counter or a gauge
record    history.jsonl, TensorBoard, result.json
"""
