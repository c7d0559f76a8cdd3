"""The buffer: keeps samples between the environments that make them and the learner that draws them.

tables      from what the algorithm wants and the config keys to a Reverb table
declared    what samples may look like
ingest      takes rows, packs them into items, writes them to Reverb in this process
store       one Reverb server with one table, and its writer
server      the ingest port: rows from aisrv, questions from the learner
waiting     readers that wait until there is something to draw
checkpoint  what survives a restart
service     wiring
items       what Reverb keeps: several rows and their frame
sending     what aisrv holds; imports neither Reverb nor TensorFlow
drawing     what the learner holds

Who calls it: every aisrv sends samples to the ingest port; the learner draws from Reverb's own port. Reverb has no
authentication and listens on all interfaces: keep its port behind a firewall or inside a private network.

When it dies: aisrv wait (what was sent but not acknowledged is counted as lost), the learner goes on with the batches it has
and then waits. Started again, it restores the newest checkpoint of the run that is whole. There can be several buffers; aisrv
spread their samples over all, the learner draws from all.
"""
