"""One process, whatever its role: how it starts and ends, the state and metrics that it publishes, and its files.

life       arguments, threads, signals, exit code
hosting    makes a process one that runs a folder's agents
numbers    numbers of the whole training, for users' code
foreign    makes an agent of a folder that was written for another framework
torch_habits  what agents' code does with PyTorch while it is imported, made harmless
users_logger  the logger that such agents get
agents     the agent of a process, made as the configuration says
watchdog   ends the process when its main loop hangs
meter      its state, counters, gauges and phase times: a file a second, a log line an interval
kept       the counters of samples, which outlive a kill
reporter   sends the same to a cluster's monitor
logs       log lines
run_dir    a run's directory
clocks     ages and intervals that setting the machine's clock does not change
documents  small JSON files: written atomically, checked when read
disk       which disk is full, read-only or failing
memory     how much memory this process may use
malloc     settings of the C library's allocator
tensors    a fix for the memory that TensorFlow's tensors leak on Python 3.11
turn       a lock for objects that one thread at a time may use
watch      ends train_test.py, one process with many threads, when nothing progresses
stacks     the stack of every thread, and whether a debugger is attached
stale      numba's compiled files that no longer fit their sources
guarded    runs evaluate, replay and train_test.py in a child process, to notice when user code calls exit
command    what programs that a person types do on Ctrl-C and `| head`
exits      how a process ended, in words
"""
