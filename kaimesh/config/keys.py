"""All keys of `[app]` in conf/configure_app.toml: type, range, default, meaning. docs/config.md is generated from them.

If Kaiwu has a key, its name here is Kaiwu's. None means: as the algorithm says (algo_conf, `defaults`).
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from kaimesh.config.key_types import Address, Addresses, Host, Hyphened, MaybeAddress, Opponent, Selector, Table, Text


class App(BaseModel):
    """The `[app]` table. Values are not converted: "32", 32.0 and true are not the integer 32."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    # What runs
    app: Text = Field(
        "gym:CartPole-v1",
        description=(
            "The environment: `gym:<id>`, `ale:<game>`, `procgen:<game>`, `minigrid:<id>`, `spiel:<game>`, a short "
            "name such as `catch` (all of them are in envs/registry.py), or your own as `<module>:<name>`."
        ),
    )
    algo: Text = Field("ppo", description="The algorithm: a table of algo_conf.")
    algo_conf: Text = Field(
        "conf/algo_conf.toml",
        description=(
            "The registry of algorithms, a file relative to the checkout with the dotted names of agents and "
            "workflows. Kaiwu's .yaml is ignored."
        ),
    )
    code_generation: Literal["", "G1", "G2a", "G2b", "G3"] = Field(
        "", description="--code: the conventions that the folder follows; empty: they are found out."
    )
    run_mode: Literal["train", "eval"] = Field("train", description="`train`, or `eval` (tools/evaluate.sh).")
    wrapper_type: Literal["remote", "local"] = Field(
        "remote",
        description=(
            "`remote`: all kinds of processes. `local`: one aisrv process, whose workflow gets the agent itself. "
            "Kaiwu's `none`, whose agents answer None, is refused: no workflow could act on that."
        ),
    )
    random_seed: int = Field(1, ge=0, lt=2**63, description="Seeds environments, networks and sampling.")
    runs_dir: Text = Field("runs", description="Where run directories are made.")

    # aisrv
    aisrv_count: int = Field(2, ge=1, le=256, description="aisrv processes.")
    aisrv_connect_to_kaiwu_env_count: int = Field(32, ge=1, le=4096, description="Environments of each aisrv.")
    aisrv_may_pin: bool = Field(
        True, description="false: no aisrv may make actors predict with another model than the newest (`load_model`)."
    )
    aisrv_env_groups: int = Field(
        2,
        ge=1,
        le=8,
        description=(
            "Vectorised workflows: the groups that an aisrv's environments are split into, at most one for each "
            "environment. While one group steps, the others wait for their predictions."
        ),
    )
    env_conf: Table = Field(
        default_factory=dict,
        description=(
            "Keyword arguments of the environment, in addition to those of its preset; Kaiwu-style workflows get them "
            "as `usr_conf`."
        ),
    )
    max_episode_steps: int = Field(
        0, ge=0, description="Truncates episodes after this many steps; 0: as the environment does."
    )
    send_sample_size: int = Field(
        10000, ge=1, description="A longer list given to `learn` is sent in pieces of this many samples."
    )
    sample_window: int = Field(
        0,
        ge=0,
        description=(
            "Samples that an aisrv may have sent without an acknowledgement; beyond that, `learn` blocks "
            "(back-pressure). 0: train_batch_size."
        ),
    )

    # actor
    actor_addrs: Addresses = Field(
        ["127.0.0.1:8888"],
        validate_default=True,
        description="The actors. Each aisrv uses one of them, and the next one when it dies.",
    )
    predict_batch_size: int = Field(256, ge=1, le=65536, description="Most rows in one prediction batch.")
    predict_max_wait_us: int = Field(
        0,
        ge=0,
        le=1_000_000,
        description="How long the actor waits for more requests before it predicts; 0: not at all (greedy).",
    )
    model_file_load_per_minutes: float = Field(
        0, ge=0, description="Minutes between an actor's loads of the newest model; 0: each as soon as it exists."
    )
    predict_timeout_seconds: float = Field(
        30, ge=0.01, description="How long an aisrv waits for one answer before it uses another actor."
    )

    # buffer
    buffer_addrs: Addresses = Field(
        ["127.0.0.1:9999"], validate_default=True, description="Reverb servers (learner side)."
    )
    buffer_ingest_addrs: Addresses = Field(
        ["127.0.0.1:9998"],
        validate_default=True,
        description="The same servers' ingest ports (aisrv side), in the same order.",
    )
    replay_buffer_capacity: int = Field(10000, ge=1, description="Most samples kept, over all tables of one server.")
    preload_ratio: float = Field(
        1.0,
        gt=0,
        description=(
            "Replay tables: training starts at capacity x ratio samples if ratio <= 1, at capacity / ratio samples if "
            "it is > 1, and never below train_batch_size."
        ),
    )
    reverb_remover: Selector | None = Field(
        None, description="Which sample is removed when a replay table is full (default Fifo)."
    )
    reverb_sampler: Selector | None = Field(
        None, description="Which sample is drawn from a replay table (default Uniform)."
    )
    reverb_priority_exponent: float = Field(
        0.6,
        ge=0,
        le=100,
        description="reverb.selectors.Prioritized draws samples in proportion to priority ^ this exponent.",
    )
    reverb_rate_limiter: Literal["MinSize", "SampleToInsertRatio"] | None = Field(
        None,
        description=(
            "When samples may be drawn. MinSize (default): once the table holds enough. SampleToInsertRatio: drawing "
            "and inserting wait for each other, so that each sample is drawn reverb_samples_per_insert times on "
            "average."
        ),
    )
    reverb_samples_per_insert: float = Field(
        8, gt=0, description="SampleToInsertRatio: how often each sample is drawn, on average."
    )
    reverb_error_buffer: float | None = Field(
        None,
        gt=0,
        description=(
            "SampleToInsertRatio: how many drawn samples the ratio may be off by; the default is large enough that "
            "nothing deadlocks."
        ),
    )
    buffer_checkpoint_seconds: float = Field(
        600, ge=0, description="Seconds between buffer checkpoints; one more is made at the end. 0: no checkpoints."
    )

    # reanalyse
    reanalyse_count: int = Field(
        0,
        ge=0,
        le=64,
        description="Processes that search stored games again and keep fresh copies, with muzero.",
    )
    reanalyse_share: float = Field(
        0.5,
        ge=0,
        le=1,
        description="Share of each batch that is fresh copies, once there are 64 of these.",
    )
    reanalyse_actor_share: float = Field(
        0.25, gt=0, lt=1, description="Share of the searched rows that is reanalyse's while play asks, too."
    )
    reanalyse_capacity: int = Field(
        0, ge=0, description="Most fresh copies in each buffer. 0: a quarter of replay_buffer_capacity."
    )

    # learner
    learner_addr: Address = Field("127.0.0.1:9997", description="The learner's gRPC port.")
    train_batch_size: int = Field(64, ge=1, description="Samples in one `learn`.")
    replay_share: float = Field(
        0,
        ge=0,
        lt=1,
        description=(
            "The share of each batch that is replayed: drawn again from the last `replay_share_capacity` samples, "
            "which the learner keeps; the other samples of the batch are fresh. For algorithms whose table is a queue "
            "and that correct for the samples' age, as impala does, and off-policy. 0: each sample of a queue is used "
            "once."
        ),
    )
    replay_share_capacity: int = Field(
        1000,
        ge=1,
        description=(
            "The samples that the learner keeps in memory for `replay_share`; at least 2 x train_batch_size. After a "
            "restart of the learner it begins with none."
        ),
    )
    replay_share_exponent: float = Field(
        0.6,
        ge=0,
        le=1,
        description=(
            "These samples are drawn in proportion to priority ^ this exponent; the priority is what the last `learn` "
            "with the sample returned. 0: uniformly."
        ),
    )
    learner_train_by_while_true: bool = Field(
        True,
        description=(
            "true: learn whenever a batch can be drawn. false: learn once per train_batch_size x (1 - replay_share) / "
            "production_consume_ratio new samples."
        ),
    )
    learner_train_sleep_seconds: float = Field(0, ge=0, description="Pause between two learns.")
    production_consume_ratio: float = Field(
        1,
        gt=0,
        description=(
            "With learner_train_by_while_true = false: how often each sample is used, on average; replays by "
            "`replay_share` are not counted."
        ),
    )
    replay_ratio: float = Field(
        0,
        ge=0,
        description=(
            "Replay tables, off-policy: how many positions are learned from for each one that is stored. Learner and "
            "environments wait for each other so that this holds, however many positions a sample has (whole games, "
            "docs/agents.md) and a learn uses; samples that do not say have one. 0: neither waits."
        ),
    )
    algorithm_on_policy_or_off_policy: Annotated[Literal["on-policy", "off-policy"], Hyphened] = Field(
        "off-policy",
        description=(
            "`on-policy`: only samples of the current model are learned from, and aisrv waits for the next model. "
            "`off-policy`: neither waits for the other."
        ),
    )
    dump_model_freq: int = Field(100, ge=1, description="A model is dumped after every so many learns.")
    max_save_model_file_count: int = Field(20, ge=1, description="Most dumps kept.")
    max_save_model_bytes: int = Field(
        2_000_000_000, ge=0, description="Most bytes of dumps kept; the newest is always kept. 0: no limit."
    )
    preload_model: bool = Field(False, description="Start from an existing model.")
    preload_model_dir: str = Field("", description="Its folder; `{agent_name}` stands for the agent's folder.")
    preload_model_id: int = Field(0, ge=0, description="Its id: the file is model.ckpt-<id>.*")
    user_save_mode_max_count: int = Field(
        200, description="Most models that `agent.save_model` may save in a run; 0 or less: no limit."
    )

    # model_pool
    model_pool_addr: Address = Field("127.0.0.1:10014", description="The model pool's gRPC port.")
    model_file_sync_per_minutes: float = Field(
        0, ge=0, description="Minutes between pushes of the learner's newest dump to the pool; 0: each dump at once."
    )
    modelpool_max_save_model_count: int = Field(
        10, ge=1, le=10000, description="Models the pool keeps, for `latest`, `random` and ids."
    )

    # evaluation
    eval_model_dir: str = Field("", description="run_mode = eval: the model's folder.")
    eval_model_id: int | str = Field(0, description="run_mode = eval: the model's id.")
    eval_games: int = Field(
        0,
        ge=0,
        le=100_000,
        description=(
            "wrapper_type = local: each dumped model plays so many episodes without exploration, in games of several "
            "players so many in each seat, before training goes on; the models are the same without them. 0: none."
        ),
    )
    eval_opponent: Opponent = Field(
        "random",
        description=(
            "eval_games in games of several players: who has the other seats: `self`, `random`, `minimax:DEPTH`, "
            "`mcts:SIMS`."
        ),
    )

    # the process
    bind_host: Host = Field(
        "127.0.0.1",
        description=(
            "The address that every port binds to (IPv4, or a host name); but Reverb's own port always listens on all "
            "interfaces."
        ),
    )
    monitor_addr: MaybeAddress = Field(
        "",
        description=(
            "A cluster's monitor, to which every process sends its status each second. Empty: status files are "
            "written, which is enough on one machine."
        ),
    )
    monitor_page_port: int = Field(0, ge=0, le=65535, description="The monitor's status page (HTTP); 0: none.")
    actor_threads: int = Field(
        0, ge=0, le=1024, description="Threads of the actor's numerical library; 0: shared out from the cores."
    )
    learner_threads: int = Field(0, ge=0, le=1024, description="The same for the learner.")
    agent_device: Text = Field(
        "cpu",
        description=(
            "The `device` argument of actor and learner agents, such as `cuda`. TensorFlow uses a GPU that it finds, "
            "whatever this says; it finds one only with its CUDA build: `KAIMESH_GPU=1 ./tools/setup.sh`."
        ),
    )
    watchdog_seconds: float = Field(
        120,
        ge=5,
        description=(
            "A process whose main loop makes no progress for this time is killed and restarted; its start has at least "
            "a minute, and five while it uses the CPU. Time in which everything was stopped does not count."
        ),
    )
    user_code_seconds: float = Field(
        600,
        ge=5,
        description=(
            "This holds instead of watchdog_seconds, where it is longer, while a process runs code of yours: one call "
            "of the agent or the environment, or what a workflow does between two. At half of it a warning names it."
        ),
    )
    env_build_seconds: float = Field(
        600,
        ge=5,
        description=(
            "While an aisrv starts, this holds instead of watchdog_seconds, for building each environment and for the "
            "first reset of all."
        ),
    )
    max_restarts: int = Field(
        5, ge=0, description="The run fails if one process ends unexpectedly more often than this within ten minutes."
    )
    report_seconds: float = Field(
        10, ge=0.01, description="Seconds between log lines and lines of the plain progress view."
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", description="The least level that is logged."
    )
    log_format: Literal["text", "json"] = Field(
        "text", description="`json`: one object a line, with time, level, message, process, run and host."
    )
    log_max_bytes: int = Field(10_000_000, ge=10_000, description="A log file is rotated at this size.")
    log_backups: int = Field(3, ge=0, le=10_000, description="Rotated log files kept.")
    sample_dim: int = Field(0, ge=0, description="Kaiwu's width of a sample. It does nothing: the first one has it.")
