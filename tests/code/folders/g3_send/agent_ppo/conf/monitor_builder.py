from kaiwudrl.common.monitor.monitor_config_builder import MonitorConfigBuilder


def build_monitor():
    return (
        MonitorConfigBuilder()
        .title("峡谷漫步")
        .add_group(group_name="算法指标", group_name_en="algorithm")
        .add_panel(name="累积回报", name_en="reward", type="line")
        .add_metric(metrics_name="reward", expr="avg(reward{})")
        .end_panel()
        .add_panel(name="损失", name_en="loss", type="line", description="策略与价值的损失")
        .add_metric(metrics_name="policy_loss", expr="avg(policy_loss{})")
        .add_metric(metrics_name="value_loss", expr="avg(value_loss{})")
        .end_panel()
        .end_group()
        .add_group(group_name="对局", group_name_en="game")
        .add_panel(name="局数", name_en="episodes", type="stat", unit="episodes")
        .add_metric(metrics_name="episode_cnt", expr="sum(episode_cnt{})")
        .end_panel()
        .end_group()
        .build()
    )
