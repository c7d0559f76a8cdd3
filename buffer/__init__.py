"""The buffer: keeps samples between the environments that make them and the learner that draws them.

tables      plans a Reverb table from what the algorithm wants and the config keys
declared    checks what writers declare as their samples, and the numbers that they send
ingest      takes rows, packs them into items, writes them to Reverb in this process
books       where each row is, over kills and restarts
copies      the second table: fresh copies of samples, which reanalyse has made
store       a table of a Reverb server, and its writer
server      the ingest port: rows from aisrv, questions from the learner
waiting     readers that wait until there is something to draw
pace        how many positions it takes, for replay_ratio
checkpoint  saved tables on disk, for a restart
fitting     whether one of them fits the table of now
service     the process: Reverb, the ingest port, checkpoints
items       the bytes that Reverb stores: several rows and their count
sending     the part that aisrv uses; imports neither Reverb nor TensorFlow
drawing     the part that the learner uses

Who calls it: every aisrv sends samples to the ingest port; the learner draws from Reverb's own port. Reverb has no
authentication and listens on all interfaces: keep its port behind a firewall or inside a private network.

When it dies: aisrv processes wait (samples that were sent but not acknowledged are counted as lost); the learner uses
the batches it has and then waits. After a restart the buffer restores the newest intact checkpoint of the run. There
can be several buffers: aisrv processes spread their samples over all, the learner draws from all.
"""
