"""The drawing side of the buffer, for the learner: batches, drawn and decoded one or two ahead.

reader        what a learner holds
source        one server's replay table, as the reader sees it
queue_source  the same for a queue, whose items come once
probe         whether the server answers
control       what the reader asks of the buffer's ingest port
total         a server's counter, over its restarts
assemble      batches out of drawn items
priorities    new priorities, on their way back to Reverb
"""
