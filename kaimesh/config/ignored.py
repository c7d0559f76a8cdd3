"""Keys of Kaiwu that have no effect here: accepted in `[app]`, and named once in the log."""

IGNORED = frozenset([
    "selfplay_app_conf", "noselfplay_app_conf", "self_play", "set_name", "self_play_set_name", "rainbow_env_name",
    "predict_local_or_remote", "aisrv_framework", "framework_integration_patterns",
    "use_which_deep_learning_framework", "copy_dir", "log_dir", "level", "tensorflow_log_level", "learner_addrs",
    "need_to_sync", "alloc_process_address", "learning_rate", "var_beta", "ppo_clip_range",
    "feature_process_lib_interface_configure", "torch_num_threads", "queue_size", "use_prometheus",
    "prometheus_pushgateway", "reverb_table_name", "reverb_table_size", "replay_buffer_type",
])  # fmt: skip
# Of Kaiwu's framework alone: accepted in the configuration of a folder (`--code`).
FRAMEWORK = frozenset([
    "actor_predict_process_num", "actor_receive_cost_time_ms", "aisrv_actor_protocol", "aisrv_default_address",
    "aisrv_process_stop_quantity_ratio", "aisrv_process_stop_timeout_seconds", "business",
    "choose_aisrv_to_load_model_or_save_model_max_time_seconds", "ckpt_sync_way", "distributed_backend",
    "handle_sigterm_sleep_seconds", "idle_sleep_second", "init_model_file_list", "init_model_file_list_max",
    "kaiwu_env_default_address", "max_calls_log_per_min", "max_single_message_len", "model_file_save_per_minutes",
    "model_pools_dir", "on_policy_by_way", "on_policy_quantity_ratio", "on_policy_timeout_seconds",
    "print_profile", "process_for_prediction", "process_start_index_allowed_print_log_list",
    "prometheus_stat_per_minutes", "proxy_batch_size", "pytorch_read_data_from_reverb_type",
    "remote_agent_default_runtime_mode", "replay_buffer_cache_multiplier", "restore_dir",
    "sample_data_return_data_type", "self_play_old_policy", "self_play_policy", "standard_upload_file_dir",
    "svr_name", "svr_ports", "team_id", "use_ckpt_sync", "use_compress_decompress", "use_learner_server",
    "user_ckpt_dir", "user_id", "user_save_model_max_frequency_per_min", "actor_device_type", "aisrv_device_type",
    "learner_device_type", "preload_model_path", "prometheus_user", "prometheus_pwd", "log_level_print",
    "exam_model_dir",
])  # fmt: skip
