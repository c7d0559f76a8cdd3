"""The learner: draws samples from the buffer, calls the user's `learn`, dumps models and hands them to the pool.

Called by aisrv (save_model). It calls the buffer (sample) and the model pool (push). When it dies, aisrv and actors go on
with the last model and the buffer fills; restarted in the same run, it resumes from its newest dump and training state.

trainer    the pure core: resume, step, dump, end; one thread owns the agent
trigger    when the next learn may begin
on_policy  rows of the current model only
publisher  pushes dumps to the pool without holding up training
server     gRPC: save_model, status
client     its other end
service    wiring

reader        batches, drawn and decoded one or two ahead
source        one server's replay table, as the reader sees it
queue_source  the same for a queue, whose items come once
probe         whether the server answers
control       what the reader asks of the buffer's ingest port
total         a server's counter, over its restarts
assemble      batches out of drawn items
replay        the share of each batch that comes from earlier samples
priorities    new priorities, on their way back to Reverb
"""
