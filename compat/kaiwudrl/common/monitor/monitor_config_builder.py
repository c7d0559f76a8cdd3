"""MonitorConfigBuilder: which panels show a user's metrics, in a chain of calls that ends with `build()`."""

from __future__ import annotations

from typing import Any

_MOST = {"title": 100, "group": 20, "panel": 20, "description": 200, "metric": 40}  # characters
_METRICS = {"line": 20, "stat": 2}  # most of them in a panel, by its type


class MonitorConfigBuilder:
    """Each call returns the builder; `build` returns what was said, as dicts and lists.

    Raises ValueError: a text is longer than Kaiwu allows, a panel has a type that there is not or too many metrics, or
    a call comes where it has no place (a metric outside of a panel).
    """

    def __init__(self) -> None:
        self._config: dict[str, Any] = {"title": "", "groups": []}
        self._group: dict[str, Any] | None = None
        self._panel: dict[str, Any] | None = None

    def title(self, title: str) -> MonitorConfigBuilder:
        """The page's title."""
        self._config["title"] = _text("title", title)
        return self

    def add_group(self, group_name: str, group_name_en: str = "") -> MonitorConfigBuilder:
        """Begins a group of panels."""
        self._group = {
            "group_name": _text("group", group_name),
            "group_name_en": _text("group", group_name_en or group_name),
            "panels": [],
        }
        self._config["groups"].append(self._group)
        self._panel = None
        return self

    def add_panel(
        self, name: str, name_en: str = "", type: str = "line", description: str = "", unit: str = ""
    ) -> MonitorConfigBuilder:
        """Begins a panel of the group. type: "line" or "stat"."""
        if self._group is None:
            raise ValueError(f"add_panel({name!r}) comes before any add_group, so it is in none. Begin a group first.")
        if type not in _METRICS:
            raise ValueError(f"add_panel({name!r}) has type = {type!r}; nothing can be drawn so. Say 'line' or 'stat'.")
        self._panel = {
            "name": _text("panel", name),
            "name_en": _text("panel", name_en or name),
            "type": type,
            "description": _text("description", description),
            "unit": unit,
            "metrics": [],
        }
        self._group["panels"].append(self._panel)
        return self

    def add_metric(self, metrics_name: str, expr: str) -> MonitorConfigBuilder:
        """A curve or number of the panel. expr: such as `avg(reward{})`, `sum(x{}) by (player)`."""
        if self._panel is None:
            raise ValueError(f"add_metric({metrics_name!r}) comes outside of a panel. Begin one with add_panel.")
        metrics = self._panel["metrics"]
        if len(metrics) >= (most := _METRICS[self._panel["type"]]):
            raise ValueError(
                f"add_metric({metrics_name!r}): panel {self._panel['name']!r} has {most} metrics, as many as a "
                f"{self._panel['type']} panel may have. Put it into another panel."
            )
        metrics.append({"metrics_name": _text("metric", metrics_name), "expr": expr})
        return self

    def end_panel(self) -> MonitorConfigBuilder:
        """Ends the panel."""
        self._panel = None
        return self

    def end_group(self) -> MonitorConfigBuilder:
        """Ends the group."""
        self._group = self._panel = None
        return self

    def build(self) -> dict[str, Any]:
        """What was said: `{"title", "groups": [{"group_name", "panels": [{"name", "type", "metrics", ...}]}]}`."""
        return self._config


def _text(what: str, text: str) -> str:
    if len(text) > _MOST[what]:
        raise ValueError(
            f"the {what} {text!r} has {len(text)} characters; Kaiwu shows {_MOST[what]} at most. Shorten it."
        )
    return text
