"""The model pool: keeps the newest models, which the learner pushes and the actors pull.

Called by the learner (push) and the actors (watch, pull, list); it calls nobody. When it dies, training and prediction
go on with the weights they have; the learner repeats its push, the actors reconnect, and the pooled models are still on
disk.

store      the core without a socket: models on disk, found by id, newest or at random
transfer   turns a model's files into a stream of bytes, and a stream into verified files
server     the gRPC server around the store
client     what the learner and the actors call
service    the process
"""
