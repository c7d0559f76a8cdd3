"""A folder of agents that was written for Kaiwu (`--code PATH`): what it says, and how its modules are loaded.

folder      reads it: generation, environment, algorithm, registry
generation  which generation's conventions it follows, and why
settings    its configuration, with everything in it that TOML or the mesh would refuse
agents      its registry of algorithms, and whether what that names is there
overlay     the copy in a run's directory, from which it runs; the digest of its files
importing   loads modules from the overlay, under the user's own paths
paths       leads absolute paths that cannot exist, and writes into the user's folder, to the overlay
"""

from kaimesh.config.code.folder import Code

__all__ = ["Code"]
