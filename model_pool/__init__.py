"""The model pool: holds the newest models between the learner, which pushes, and the actors, which watch and pull.

Called by the learner (push) and the actors (watch, pull, list). It calls nobody. When it dies, training and prediction go
on with the weights they have; the learner retries its push, the actors reconnect, and what was pooled is still on disk.

store      the pure core: models on disk, newest, any, by id; wakes those who wait for a newer one
transfer   a model as a run of bytes, and back into verified files
server     gRPC around the store
client     its other end
service    wiring
"""
