"""Connects the parts of an aisrv process: environments, links, agents, and the workflow that the algorithm names."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from typing import Any

from kaimesh import envs
from kaimesh.aisrv.hosted import hosted
from kaimesh.aisrv.links import Links, RemoteLinks, UserSaves
from kaimesh.aisrv.local import LocalLinks, train_in_place
from kaimesh.aisrv.proxy import OnPolicyGate, WorkflowAgent
from kaimesh.aisrv.renewals import Renewals
from kaimesh.aisrv.slots import CountedEnv, run_slots
from kaimesh.contract.agent import user_code
from kaimesh.contract.calls import OurCode
from kaimesh.contract.errors import AgentError, EnvError, Stopped
from kaimesh.contract.guard import environment
from kaimesh.contract.json_text import json_text
from kaimesh.contract.kaiwu import KaiwuEnv
from kaimesh.contract.monitor import Monitor
from kaimesh.contract.seeds import training_seeds
from kaimesh.contract.spaces import Spaces
from kaimesh.contract.user_agent import UserAgent
from kaimesh.envs.renewal import next_seed
from kaimesh.process.agents import dotted, workflow_of
from kaimesh.process.documents import write_text
from kaimesh.process.foreign import panels
from kaimesh.process.life import Context
from kaimesh.process.users_logger import UsersLogger
from kaimesh.training import Training

PANELS = "monitor.json"  # in a run's directory
JUDGE = "kaimesh.arena.checkpoints.Checkpoints"  # of local mode; by name, for the arena stands above this package


class WorkflowMonitor(Monitor):
    """Kaiwu's monitor. For vectorised workflows it also has what they need of the process.

    run_id: a random number for this life of the process; its environments count on from it. first_slot: the number of
    this aisrv's first slot among the total_slots of all aisrv.
    """

    def __init__(self, context: Context) -> None:
        meter = context.meter
        super().__init__(meter.gauge, (context.index, meter.life), meter.count, meter.phase)
        self.meter, self.stop = meter, context.stop
        self.run_id = secrets.randbits(40) << 20
        slots = context.config.app.aisrv_connect_to_kaiwu_env_count
        self.first_slot, self.total_slots = context.index * slots, context.config.app.aisrv_count * slots


class AisrvService:
    """One aisrv process. make_links: makes the connections, over the network or in one process (train_test.py).

    learned: called after each learn of local mode.
    """

    def __init__(
        self,
        context: Context,
        make_links: Callable[[Context, Spaces], Links] = RemoteLinks,
        learned: Callable[[], None] = lambda: None,
    ) -> None:
        self._context = context
        app = context.config.app
        self._monitor = WorkflowMonitor(context)
        self._workflow = workflow_of(context.config)
        self._generation = "" if context.config.code is None else context.config.code.generation
        self._user = self._fitting(context.make_agent("learner" if app.wrapper_type == "local" else "aisrv"))
        if context.watchdog is not None:
            context.watchdog.be_patient(app.env_build_seconds, "env_build_seconds")
        with environment("its constructor"):
            self._envs, spaces = self._make_envs()
        self._export_panels()
        if self._user.prepared is not None:
            with user_code("aisrv: Agent.setup"):
                self._user.prepared.setup(spaces)
        self._links: Links | None = None
        self._training: Training | None = None
        self._judge: Any = None
        if app.wrapper_type == "local":
            self._judge = dotted(JUDGE)(context) if app.eval_games else None
            pairs = context.config.code is not None and context.config.code.pairs
            self._training = train_in_place(self._user, context, learned, self._judge, pairs)
            links = LocalLinks(self._user, self._training)
            vectorised = self._workflow.vectorised
            self._agents: list[Any] = self._linked(links) if vectorised else [self._user.agent for _ in self._envs]
        else:
            self._links = make_links(context, spaces)
            self._agents = self._linked(self._links)

    def run(self) -> None:
        """Runs the workflow until it returns or raises, or the mesh stops."""
        context = self._context
        context.logger.info(
            "workflow %s, wrapper_type %s", context.config.algo.train_workflow, context.config.app.wrapper_type
        )
        if self._workflow.vectorised:
            ours = context.config.algo.train_workflow.startswith("kaimesh.")  # it notes the user's calls by itself
            with user_code("aisrv: workflow", lasting=True), OurCode() if ours else nullcontext():
                self._workflow.run(self._envs, self._agents, context.logger, self._monitor)
        else:
            context.meter.state("working")
            logger: Any = context.logger if context.config.code is None else UsersLogger(context.logger)
            run_slots(self._workflow.run, self._envs, self._agents, logger, self._monitor, context.stop)

    def close(self) -> None:
        """Dumps a local agent's model, waits for the last acknowledgements, closes connections and environments."""
        if self._training is not None:
            self._training.close()
        if self._judge is not None:
            self._judge.close()
        if self._links is not None:
            self._links.sender.flush(5.0)
            self._links.sender.close()
        for env in self._envs:
            try:
                with environment("close"):
                    env.close()
            except EnvError as error:  # all that it did is stored, and the others are to be closed
                self._context.logger.warning("at the end, %s", error, exc_info=error.__cause__)

    def _export_panels(self) -> None:
        """Writes the panels that a folder of agents describes for its metrics into the run's monitor.json."""
        context = self._context
        if context.config.code is None or context.index:
            return
        try:
            found = panels(context.config.algo.aisrv_agent)
        except AgentError as error:
            context.logger.warning("%s; its panels are not kept, and training goes on", error, exc_info=error.__cause__)
            return
        if found is not None:
            write_text(context.run.root / PANELS, json_text(found, indent=1, default=str))

    def _make_envs(self) -> tuple[list[Any], Spaces]:
        context, app = self._context, self._context.config.app
        count, limit = app.aisrv_connect_to_kaiwu_env_count, app.max_episode_steps
        seeds = training_seeds(app.random_seed, context.index, context.meter.life, count)
        arguments: dict[str, Any] = {
            "env_conf": app.env_conf,
            "max_episode_steps": limit,
            "unit_actions": self._user.unit_actions,
        }
        renewals = Renewals(context.meter, context.stop, context.logger)
        if self._workflow.vectorised:
            groups = 1 if app.algorithm_on_policy_or_off_policy == "on-policy" else min(app.aisrv_env_groups, count)
            sizes = [count // groups + (i < count % groups) for i in range(groups)]
            firsts = [sum(sizes[:i]) for i in range(groups)]
            made = [
                envs.make_vector(
                    app.app,
                    n,
                    seed=seeds[i : i + n],
                    tell=self._teller(i, count),
                    renew=renewals.of_group(i),
                    **arguments,
                )
                for i, n in zip(firsts, sizes, strict=True)
            ]
            context.meter.state("starting")
            seen = [envs.featured(env, self._user.featured) for env in made]
            return seen, seen[0].spaces

        def make(i: int, times: int) -> KaiwuEnv:
            seed = next_seed(seeds[i], times) if times else seeds[i]
            return envs.facade(app.app, seed=seed, generation=self._generation, **arguments)

        facades = []
        for i in range(count):
            self._teller(i, count)(1)
            facades.append(make(i, 0))
        context.meter.state("starting")
        slots = [
            CountedEnv(facade, context.meter, context.stop, renewals.of_group(i), partial(make, i))
            for i, facade in enumerate(facades)
        ]
        return slots, facades[0].spaces

    def _teller(self, before: int, count: int) -> Callable[[int], None]:
        """A function that publishes which environment is being built: the one after `before` + number - 1 others.

        It raises Stopped if the process was asked to stop.
        """
        meter, stop = self._context.meter, self._context.stop

        def tell(number: int) -> None:
            if stop.is_set():
                raise Stopped
            meter.state("starting")  # so that the state's time starts again for each environment
            meter.state("starting", f"building environment {before + number} of {count}")

        return tell

    def _fitting(self, user: UserAgent) -> UserAgent:
        """`user`. Raises AgentError: the workflow is vectorised and the agent is not."""
        path = self._context.config.algo.train_workflow
        if self._workflow.vectorised and user.vectorised is None:
            raise AgentError(
                f"train_workflow = {path} is vectorised, but {user.name} has no unroll_length, so the number of steps "
                "in a sample is unknown and nothing is started. Give it one (Vectorised in kaimesh.agent), or name a "
                "workflow that plays one environment at a time."
            )
        return user

    def _linked(self, links: Links) -> list[WorkflowAgent]:
        app, context = self._context.config.app, self._context
        gate = None
        if app.algorithm_on_policy_or_off_policy == "on-policy" and app.wrapper_type == "remote":
            gate = OnPolicyGate(
                -(-app.train_batch_size // app.aisrv_count), context.stop, context.meter, logger=context.logger
            )
        named: dict[str, Any] = {
            "save": UserSaves(links.save_model, context.logger, context.meter),
            "send_size": app.send_sample_size if app.wrapper_type == "remote" else sys.maxsize,
            "gate": gate,
        }
        run_ids = [self._monitor.run_id + i for i in range(len(self._envs))]
        if context.config.code is None:
            return [
                WorkflowAgent(self._user, links, links.policy(i), run_id=run_id, **named)
                for i, run_id in enumerate(run_ids)
            ]
        users = [self._user, *(context.make_agent("aisrv") for _ in run_ids[1:])]
        return hosted(users, links, run_ids, context.config.code, context, named)
