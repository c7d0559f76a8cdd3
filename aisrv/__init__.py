"""aisrv: runs environments and the algorithm's workflow; everything an agent does with the mesh starts here.

It calls the actor (predictions), the buffer's ingest (samples) and the learner (save_model); nobody calls it. When it
dies, the supervisor starts it again and the others only notice that fewer samples come; unacknowledged samples are lost
and counted.

rollout   the vectorised workflow: environments in groups, unrolls as samples
slots     Kaiwu-style workflows: one environment and one thread each
guard     what an environment raises, told as the environment's
proxy     the agent that a workflow sees
policy    its predictions, wherever they are made: Policy
links     what it is connected to: actor, buffer, learner
local     wrapper_type = "local": the user's agent itself, trained at once
service   wiring
check     builds the environment once, in a process of its own, before a start
"""
