"""docs/on_a_hub.md, walked with a real JupyterHub, its proxy and real accounts (as root, on Linux).

`python -m pip install jupyterhub`, `npm install -g configurable-http-proxy`, then
`python -m pytest tests/teach/test_hub.py -m hub -n 0 -s`. Accounts and servers live in namespaces
of their own and are gone with them.
"""

import importlib.util
import os
import pwd
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
NEEDED = [
    (hasattr(os, "geteuid") and os.geteuid() == 0, "root"),
    (shutil.which("unshare") and shutil.which("useradd"), "Linux with unshare and useradd"),
    (importlib.util.find_spec("jupyterhub"), "jupyterhub"),
    (shutil.which("configurable-http-proxy"), "configurable-http-proxy"),
]
MISSING = [name for there, name in NEEDED if not there]


@pytest.mark.hub
@pytest.mark.skipif(bool(MISSING), reason=f"needs {', '.join(MISSING)}")
def test_a_week_on_a_hub(tmp_path):
    for folder in (tmp_path, *tmp_path.parents):  # every account reads the assignment there
        if folder.stat().st_uid == os.geteuid() and len(folder.parts) > 2:
            folder.chmod(folder.stat().st_mode | 0o755)
    packages = os.pathsep.join(map(str, (HERE.parents[1], HERE.parent, HERE)))
    before = [entry.pw_name for entry in pwd.getpwall()]
    done = subprocess.run(
        ["unshare", "--mount", "--pid", "--fork", "--mount-proc", sys.executable,
         str(HERE / "hub_round.py"), str(tmp_path)],
        env=os.environ | {"PYTHONPATH": packages}, text=True, capture_output=True, timeout=3000,
    )  # fmt: skip
    print(done.stdout)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-3000:]
    assert "15 of 16 points" in done.stdout and done.stdout.rstrip().endswith("the hub has ended")
    assert [entry.pw_name for entry in pwd.getpwall()] == before
