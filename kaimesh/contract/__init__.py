"""What all processes agree on: agents, environments, and the data between them. Nothing here imports any other room.

agent       the Agent class, and what its class may say of itself
spaces      what an environment looks like to a network
columns     the names of the mesh's own columns
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
