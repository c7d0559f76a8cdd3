"""Keys of Kaiwu that have no effect here: accepted in `[app]`, and named once in the log."""

IGNORED = frozenset([
    "selfplay_app_conf", "noselfplay_app_conf", "self_play", "set_name", "self_play_set_name", "rainbow_env_name",
    "predict_local_or_remote", "aisrv_framework", "framework_integration_patterns",
    "use_which_deep_learning_framework", "copy_dir", "log_dir", "level", "tensorflow_log_level", "learner_addrs",
    "need_to_sync", "alloc_process_address", "learning_rate", "var_beta", "ppo_clip_range",
    "feature_process_lib_interface_configure", "torch_num_threads", "queue_size", "use_prometheus",
    "prometheus_pushgateway", "reverb_table_name", "reverb_table_size", "replay_buffer_type",
])  # fmt: skip
