"""Log lines for machines: one object a line, whatever is logged."""

import json
import logging
import socket

import pytest

from kaimesh.process.logs import HOST_VARIABLE, configure, host


def test_a_json_line_names_its_process_run_and_host(capsys: pytest.CaptureFixture[str]) -> None:
    logger = configure("learner_0", form="json", run="catch_ppo")
    logger.info("two\nlines, %s", "“quoted”")
    try:
        raise ValueError("gone")
    except ValueError:
        logger.exception("failed")
    logging.getLogger("elsewhere").warning("a library's")
    first, second, third = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert first["message"] == "two\nlines, “quoted”"
    assert (first["process"], first["run"], first["host"]) == ("learner_0", "catch_ppo", socket.gethostname())
    assert first["time"].endswith("Z")
    assert first["level"] == "INFO"
    assert "ValueError: gone" in second["traceback"]
    assert third["message"] == "a library's"


def test_text_stays_text(capsys: pytest.CaptureFixture[str]) -> None:
    configure("learner_0").info("hello")
    assert capsys.readouterr().out.endswith("INFO    learner_0 | hello\n")


def test_a_template_that_nobody_filled_in_is_no_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(HOST_VARIABLE, "{{.Node.Hostname}}")
    assert host() == socket.gethostname()
    monkeypatch.setenv(HOST_VARIABLE, "worker-7")
    assert host() == "worker-7"
