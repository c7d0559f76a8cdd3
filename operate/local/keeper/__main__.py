"""`python -m kaimesh.operate.local.keeper --conf runs/<run>/conf.toml --run-dir runs/<run>`; supervisord runs it."""

from kaimesh.config.roles import KEEPER
from kaimesh.process.life import main

if __name__ == "__main__":
    main(KEEPER.name, "kaimesh.operate.local.keeper.service.Keeper")
