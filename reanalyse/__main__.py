"""`python -m kaimesh.reanalyse`."""

from kaimesh.process.life import main

if __name__ == "__main__":
    main("reanalyse", "kaimesh.reanalyse.service.ReanalyseService")
