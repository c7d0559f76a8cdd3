"""The learner's side of the buffer: draws items from Reverb and turns them into batches.

reader        the learner's entrance: keeps one or two batches ready
source        draws from one server's replay table
queue_source  draws from one server's queue, whose items can be drawn once
probe         whether a Reverb server answers
accounts      counts what was drawn from each queue, over kills and restarts
control       questions to the buffers' ingest ports
total         counters of servers that may restart
copies        the share of each batch that is drawn from the second tables
assemble      makes batches from drawn items
priorities    sends new priorities to Reverb
"""
