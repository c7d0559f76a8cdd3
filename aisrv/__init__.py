"""aisrv: runs environments and the algorithm's workflow.

It asks the actor for predictions, sends samples to the buffer's ingest, and has the learner save models. No process
calls it. When it dies, the supervisor starts it again; until then the learner gets fewer samples. Samples that the
buffer has not acknowledged are lost and counted.

rollout   the vectorised workflow: environments in groups, unrolls as samples
slots     Kaiwu-style workflows: one environment and one thread each
renewals  makes environments anew that fail, until they fail too often
proxy     WorkflowAgent, the agent that a workflow gets; OnPolicyGate
hosted    the agent that workflows of a folder written for Kaiwu get
stub      that folder's own instance in this process, whose weights follow the predictor's
policy    Policy, the interface to predictions, made by an actor or in this process
links     the connections to actor, buffer and learner
local     wrapper_type = "local": the user's agent predicts and learns in this process
service   connects these parts
check     builds the environment once, in a process of its own, before a start
"""
