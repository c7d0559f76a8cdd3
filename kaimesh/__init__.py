"""The one shared package of the mesh: contract, config, wire, metrics, lifecycle. It imports no service and no algorithm."""
