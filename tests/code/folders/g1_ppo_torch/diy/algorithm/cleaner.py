import os
import re


def clean(folder, keep):
    """Removes all checkpoints but the newest: the disk was full once."""
    if not os.path.isdir(folder):
        return
    ids = {}
    for name in os.listdir(folder):
        found = re.match(r"model\.ckpt-(\d+)\.", name)
        if found:
            ids.setdefault(int(found.group(1)), []).append(name)
    for old in sorted(ids)[:-keep]:
        for name in ids[old]:
            os.remove(os.path.join(folder, name))
