"""What all processes agree on: agents, environments, and the data between them. Nothing here imports any other room.

agent       what the mesh calls of an agent, as Protocols, and the class that users inherit from
user_agent  reads an agent once: which of these Protocols it has
reanalysis  what an agent has whose samples can be searched again
predicting  calls predict, exploit or reanalyse, and checks the answer
proof       whether an agent's predict takes several observations per call
workflow    an algorithm's loop over environments
spaces      what an environment looks like to a network
symmetry    images of a board that are worth the same
scaling     continuous actions: from an agent's unit to an environment's bounds
seeds       random streams and the seeds of environments, from random_seed
columns     the mesh's own columns of samples and requests
structs     ObsData, ActData, SampleData as users define them
arrays      batches and their byte layout
answers     checks what an agent returned
declared    checks what a peer declares of its rows and its environment
archive     reads files of arrays that may be somebody else's
finite      whether arrays hold NaN or infinity
stacking    stores each image of stacked observations once
recurrence  a recurrent network's state
face        what an environment shows to a person
position    a position of a game, for searches that copy it
story       an episode as data, for a page
monitor     Kaiwu's monitor: users' own numbers
host        what users' code may ask of the process that runs it
kaiwu       one environment as Kaiwu's workflows use it
untrusted   parses data from peers, with bounds
guard       turns what an environment raises into an error that names the environment
calls       which call of the user's code each thread is in
json_text   writes JSON that every reader accepts
errors      the error classes and the exit codes
"""
