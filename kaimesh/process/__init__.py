"""One process, whatever its role: how it begins and ends, what it says of itself, and the files that it keeps.

life       arguments, threads, signals, exit code
agents     the agent of a process, made as the configuration says
watchdog   ends it where its main loop is silent
meter      what it says of itself
reporter   the same, told to a cluster's monitor
logs       log lines
run_dir    a run's directory
documents  small files, written whole and read with care
disk       whether it takes anything more
malloc     what the C library does with freed memory
tensors    TensorFlow's tensors, without their leak
turn       what only one thread may use at a time
watch      train_test.py: many threads in one process, none of which may wait for ever
stacks     where every thread is, and whether a debugger holds one
guarded    evaluate, replay: in a child, so that an exit inside is noticed
exits      how a process ended, in words
"""
