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

# Both are renewed together. The digest stands here so that an index, or who sits before it, cannot give another file.
PIP = "26.3"
SHA256 = "f3b60b20ffaadd4415ed7957212a38ac63fa4c5fa375bd0f4a797777940fad13"


def main() -> None:
    """Downloads pip's wheel, compares its digest with the one above, and lets it install itself."""
    index = os.environ.get("PIP_INDEX_URL", "https://pypi.org/simple").rstrip("/")
    page = f"{index}/pip/"
    with urllib.request.urlopen(page, timeout=60) as answer:
        links = re.findall(r'href="([^"]+)"', answer.read().decode())
    name = f"pip-{PIP}-py3-none-any.whl"
    link = next((urllib.parse.urljoin(page, link) for link in links if f"/{name}" in f"/{link}"), None)
    if link is None:
        sys.exit(f"{page} has no {name}; install pip for {sys.executable} yourself (Debian: apt install python3-venv)")
    url = link.partition("#")[0]
    with urllib.request.urlopen(url, timeout=60) as answer:
        wheel = answer.read()
    if (digest := hashlib.sha256(wheel).hexdigest()) != SHA256:
        sys.exit(
            f"{url} has the SHA-256 {digest}, not {SHA256}: it is not the file that was published as {name}, so "
            f"nothing was installed. Look at PIP_INDEX_URL, or install pip for {sys.executable} yourself."
        )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(wheel)
        subprocess.run([sys.executable, f"{path}/pip", "install", "--quiet", "--no-index", str(path)], check=True)


if __name__ == "__main__":
    main()
