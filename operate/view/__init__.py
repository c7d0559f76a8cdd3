"""What the mesh does now, and what it has done.

row       one process, for the terminal, the page and programs
overview  a row for each process of a machine
cluster   the same of a cluster, from the monitor's status files
totals    the whole mesh in one line
progress  the live view in a terminal
page      the status page of a cluster
ledger    a process's counters over all of its lives, on whatever machine; pure
record    history.jsonl, TensorBoard, result.json
"""
