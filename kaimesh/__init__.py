"""What all processes share, and what starts, watches and judges them. Nothing here imports a service or an algorithm.

The contract with agents, and the data:

agent        the Agent class, structs, what the mesh asks of an agent
arrays       batches and their byte layout
declared     what a peer says of its rows and its environment, checked
finite       whether arrays hold NaN or infinity
frames       stacked frames, stored once
items        what the buffer keeps
recurrence   a recurrent network's state
errors       what may go wrong, and the exit codes

Between processes:

wire         framed TCP: predictions and samples
rpc          gRPC: all else
untrusted    data of strangers, parsed with bounds
internal     our own bugs, counted where a server goes on after one
proxies      the mesh's connections go past a proxy
ports        whether ports are free

A process:

lifecycle    arguments, threads, signals, exit code
watchdog     ends it where its main loop is silent
metrics      what it says of itself
report       the same, told to a cluster's monitor
logs         log lines
memory       what the C library does with freed memory
tensors      TensorFlow's tensors, without their leak
turn         what only one thread may use at a time
watch        train_test.py: many threads in one process, none of which may wait for ever
stacks       where every thread is, and whether a debugger holds one
guarded      evaluate, replay: in a child, so that an exit inside is noticed

Training, and what is on disk:

config       from a file to a validated configuration
training     learns, dumps, resume
checkpoint   models
run          a run's directory
documents    small files, written whole and read with care
disk         whether it takes anything more
tensorboard  curves
recording    episodes, to be played again
trust        what files from somebody else may name

A mesh:

cli          tools/*.sh: start, stop, status, logs
supervise    supervisord: its configuration and its calls
supervisord  the same program, with logs that a full disk cannot end
keeper       starts and watches the processes, ends the run
cluster      the mesh in containers
mesh         mesh.json, and which processes live
totals       the whole mesh in one line
overview     a row for each process
progress     the live view
curve        draws runs
evaluation   how good a model is
replay       an episode as a film or a page
"""
