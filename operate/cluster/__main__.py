"""`python -m kaimesh.operate.cluster serve ROLE|probe|setup|token ROLE|status|crash`: the image's entry point."""

import sys

from kaimesh.contract.errors import MeshError


def main() -> int:
    """Each command imports only what it needs: `serve` stands beside every process, `probe` runs every few seconds."""
    match sys.argv[1:]:
        case ["serve", role]:
            from kaimesh.operate.cluster.serve import serve

            return serve(role)
        case ["probe"]:
            from kaimesh.operate.cluster.probe import probe

            return probe()
        case ["setup"]:
            from kaimesh.operate.cluster.setup import setup

            return setup()
        case ["token", role]:
            from kaimesh.operate.cluster.setup import token_for

            print(token_for(role))
            return 0
        case ["status"]:
            from kaimesh.operate.cluster.probe import status_json

            print(status_json())
            return 0
        case ["crash"]:
            from kaimesh.operate.cluster.serve import crash

            return crash()
        case _:
            print(f"{__doc__} (not: {' '.join(sys.argv[1:]) or 'nothing'})", file=sys.stderr)
            return 2


if __name__ == "__main__":
    try:
        sys.exit(main())
    except MeshError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)
