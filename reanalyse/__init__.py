"""reanalyse: searches stored samples again with the newest model, and stores fresh copies of them (Reanalyse, section 5
and appendix H of MuZero, arXiv:1911.08265).

It draws from the buffer, asks an actor, and sends the copies to the buffer's second table; the learner draws a share of
each batch from there. Nobody calls it, and nobody waits for it: when it dies, batches go on with the copies that there
are. What it had in hand is gone, and its samples are drawn again some time. There may be any number of them.

refresher  the core, without a socket: samples in, questions out, answers in, copies out
service    connects it with buffer and actor
"""
