"""Your agent: a complete PPO in the layout that Kaiwu users know. `./tools/start.sh --algo diy` runs it.

Edit it, or copy it: after `cp -r diy mine` and two lines in conf/algo_conf.toml, `[mine]` and `copy_of = "diy"`,
`--algo mine` runs the copy.

feature/definition.py   what travels: observations, actions, samples, and how they are made from the environment's
feature/realm.py        the same for the game "Back to the Realm": features, and rewards explained term by term
train_workflow.py       the loop over episodes
algorithm/agent.py      predict, exploit, learn, save_model, load_model
algorithm/gae.py        advantages
model/model.py          the network and one step of gradient descent
config.py               the numbers

Which process runs what, with `wrapper_type = "remote"`:

| process | runs |
|---|---|
| aisrv | `workflow` and the functions of feature/definition.py; its `agent` only forwards calls |
| actor | `Agent.predict`, `exploit` and `load_model`, for all aisrv at once |
| learner | `Agent.learn`, `save_model` |

With `wrapper_type = "local"` one process runs everything and `agent` is the Agent itself: put a breakpoint where you
like. In remote mode, an attribute that the workflow sets on `agent` stays in aisrv; predict and learn run elsewhere.
"""
