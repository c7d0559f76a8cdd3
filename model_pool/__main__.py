"""`python -m kaimesh.model_pool --conf conf/configure_app.toml --run-dir runs/latest`."""

from kaimesh.process.life import main

if __name__ == "__main__":
    main("model_pool", "kaimesh.model_pool.service.ModelPoolService")
