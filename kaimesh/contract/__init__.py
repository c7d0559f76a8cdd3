"""What all processes agree on: agents, environments, and the data between them. Nothing here imports any other room.

agent       what the mesh calls of an agent, as Protocols, and the class that users inherit from
user_agent  an agent, read once: which of these Protocols it has
predicting  one call of predict or exploit, its answer checked
workflow    what an algorithm's loop over environments may be
spaces      what an environment looks like to a network
columns     the mesh's own columns of samples and requests
structs     ObsData, ActData, SampleData as users define them
arrays      batches and their byte layout
answers     what an agent may return, checked
declared    what a peer says of its rows and its environment, checked
finite      whether arrays hold NaN or infinity
stacking    stacked frames, stored once
recurrence  a recurrent network's state
face        what an environment shows to a person
story       an episode as data, for a page
kaiwu       one environment as Kaiwu's workflows use it
untrusted   data of strangers, parsed with bounds
errors      what may go wrong, and the exit codes
"""
