"""The names of the columns that the mesh gives to samples, beside the agent's own."""

# Columns that the mesh adds to every sample and takes off again before `learn`, both int64 []: the model version that the
# sample was made with, and the environment's life it belongs to.
MODEL_VERSION = "_model_version"
RUN_ID = "_run_id"

# Of prioritised tables. PRIORITY: a column float32 [] of samples, above 0, their first priority (1 without it); and an array
# [train_batch_size] among the metrics of `learn`: those that its samples have from now on. PROBABILITY: a column float64 [] that
# `learn` gets: of drawing this sample, times the samples in its table; 1 where all are equally likely.
# KEY uint64 [] and SERVER int64 [] say which stored sample it is; they stay in the learner.
PRIORITY = "_priority"
PROBABILITY = "_probability"
KEY = "_key"
SERVER = "_server"

# With `replay_share`: a column bool [] that says which samples of a batch were learned from before; it stays in the learner.
REPLAYED = "_replayed"
