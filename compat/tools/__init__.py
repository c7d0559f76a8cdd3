"""Kaiwu's helpers of workflows. A folder `tools` of the user's own comes first; what that lacks is found here.

train_env_conf_validate  read_usr_conf, check_usr_conf
env_conf_manager         EnvConfManager
metrics_utils            get_training_metrics
map_data_utils           read_map_data
model_pool_utils         get_valid_model_pool
eval                     workflows of evaluation, which configurations name
"""
