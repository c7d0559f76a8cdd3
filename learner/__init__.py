"""The learner: draws samples from the buffer, calls the user's `learn`, dumps models and hands them to the pool.

Called by aisrv (save_model). It calls the buffer (sample) and the model pool (push). When it dies, aisrv and actors go
on with the last model and the buffer fills; restarted in the same run, it resumes from its newest dump and training
state.

trainer       the pure core: resume, step, dump, end; one thread owns the agent
trigger       when the next learn may begin
on_policy     rows of the current model only
publisher     pushes dumps to the pool without holding up training
server        gRPC: save_model, status
client        its other end
service       wiring
replay_share  the share of each batch that comes from earlier samples
"""
