"""Installs pip into the Python that runs this, from the package index alone: for a Python without ensurepip.

Only setup.sh runs it. Needs nothing but the standard library; takes the index from PIP_INDEX_URL.
"""

import hashlib
import os
import re
import subprocess
import sys
import tempfile
import urllib.parse
import urllib.request
from pathlib import Path

PIP = "25.0.1"


def main() -> None:
    """Downloads pip's wheel, compares its digest with the index's, and lets it install itself."""
    index = os.environ.get("PIP_INDEX_URL", "https://pypi.org/simple").rstrip("/")
    page = f"{index}/pip/"
    with urllib.request.urlopen(page, timeout=60) as answer:
        links = re.findall(r'href="([^"]+)"', answer.read().decode())
    name = f"pip-{PIP}-py3-none-any.whl"
    link = next((urllib.parse.urljoin(page, link) for link in links if f"/{name}" in f"/{link}"), None)
    if link is None:
        sys.exit(f"{page} has no {name}; install pip for {sys.executable} yourself (Debian: apt install python3-venv)")
    url, _, digest = link.partition("#sha256=")
    with urllib.request.urlopen(url, timeout=60) as answer:
        wheel = answer.read()
    if digest and hashlib.sha256(wheel).hexdigest() != digest:
        sys.exit(f"{url} does not have the digest that {page} gives; nothing was installed")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(wheel)
        subprocess.run([sys.executable, f"{path}/pip", "install", "--quiet", "--no-index", str(path)], check=True)


if __name__ == "__main__":
    main()
