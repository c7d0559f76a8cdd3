"""`python -m kaimesh.keeper --conf runs/<run>/conf.toml --run-dir runs/<run>`; supervisord runs it."""

from kaimesh.lifecycle import main

if __name__ == "__main__":
    main("keeper", "kaimesh.keeper.service.Keeper")
