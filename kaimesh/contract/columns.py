"""The names of the columns that the mesh gives to samples, beside the agent's own."""

# Columns that the mesh adds to every sample and removes again before `learn`, both int64 []: the version of the model
# that made the sample, and the number of the environment's life that it belongs to.
MODEL_VERSION = "_model_version"
RUN_ID = "_run_id"

# Columns of prioritised tables.
# PRIORITY float32 [], above 0: the first priority of a sample (1 if it has none). `learn` may also return an array
# [train_batch_size] under this name among its metrics: the new priorities of the samples of its batch.
# PROBABILITY float64 []: added for `learn`; the probability of drawing this sample times the number of samples in its
# table, so 1 where all are equally likely.
# KEY uint64 [] and SERVER int64 []: which stored sample it is, on which server; they stay in the learner.
PRIORITY = "_priority"
PROBABILITY = "_probability"
KEY = "_key"
SERVER = "_server"

# With `replay_share`, a column bool []: whether a sample of a batch was learned from before. It stays in the learner.
REPLAYED = "_replayed"
