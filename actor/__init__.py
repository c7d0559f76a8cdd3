"""actor: answers predictions. One thread gathers the rows of every aisrv that asks, calls the agent once, and scatters
the answers.

The aisrv processes call it (kaimesh.actor.client); it calls the model pool, for newer models. When it dies, its callers
move to another actor of `actor_addrs`, or wait until the supervisor has started it again; what they had asked is asked
again, and nothing is lost, for an actor keeps nothing but weights, which it pulls again.

batcher   the core, without a socket: rows in, one agent call, checked rows out
apart     after a failed call: whose rows it was
models    newer models from the pool, on a thread of its own
peers     who may ask
requests  what may be asked besides predictions
replies   calls the agent, and tells each client its part
server    the loop: poll, gather, predict; weights are swapped between two batches
service   wiring
client    what an aisrv holds: one connection to one of the actors
"""
