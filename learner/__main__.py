"""`python -m kaimesh.learner --conf conf/configure_app.toml --run-dir runs/latest`."""

from kaimesh.process.life import main

if __name__ == "__main__":
    main("learner", "kaimesh.learner.service.LearnerService")
