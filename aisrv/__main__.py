"""`python -m kaimesh.aisrv`."""

from kaimesh.process.life import main

if __name__ == "__main__":
    main("aisrv", "kaimesh.aisrv.service.AisrvService")
