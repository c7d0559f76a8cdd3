"""actor: predicts. It gathers the requests of all aisrv into one batch, calls the agent once, and sends each its rows.

Whoever wants predictions calls it (kaimesh.actor.client); it pulls newer models from the model pool. When it dies, its
clients use another actor of `actor_addrs`, or wait until the supervisor has started it again, and send their open
requests again. Nothing is lost, because an actor only keeps a model, which it pulls again.

batcher   the core, without a socket: rows in, one agent call, checked rows out
retry     after a failed call: finds the requests that caused it and answers the others
models    pulls newer models from the pool, in a thread of its own
peers     admits clients: what they declare must fit the agent
requests  parses the other requests: which model predicts, predict with another one
turns     when requests of reanalyse are searched, beside those of play
replies   calls the agent and sends each client its rows or an error
server    the loop: poll, swap weights, gather, predict
service   connects these parts
client    an aisrv's connection to one of the actors
"""
