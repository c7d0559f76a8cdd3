"""The learner: draws samples from the buffer, calls the user's `learn`, dumps models and pushes them to the pool.

aisrv processes call it (save_model, status). It calls the buffer (draw) and the model pool (push). When it dies, aisrv
and actors continue with the last model, and the buffer fills up. After a restart it resumes from its newest dump.

trainer       the core, without a socket: resume, step, dump, end; only one thread uses the agent
trigger       when the next learn may begin
replay_ratio  holds positions learned per position stored
on_policy     collects samples of the current model
publisher     pushes dumps to the pool in a thread of its own
server        gRPC: save_model, status
client        what aisrv calls it with
service       connects these parts
replay_share  the share of each batch that is drawn from earlier samples
"""
