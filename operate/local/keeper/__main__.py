"""`python -m kaimesh.operate.local.keeper --conf runs/<run>/conf.toml --run-dir runs/<run>`; supervisord runs it."""

from kaimesh.process.life import main

if __name__ == "__main__":
    main("keeper", "kaimesh.operate.local.keeper.service.Keeper")
