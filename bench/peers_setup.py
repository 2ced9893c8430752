"""The Node packages of the peers, exactly as ``package-lock.json`` names them."""

import subprocess

from bench.machine import PEERS, found


def install() -> str:
    """Run ``npm ci``; returns a line that says how it went."""
    npm = found("npm")
    if npm is None:
        return "npm is missing: Node's servers are not measured"
    done = subprocess.run(
        [npm, "ci", "--no-audit", "--no-fund"],
        cwd=PEERS,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    return "installed the peers" if done.returncode == 0 else f"npm ci failed: {done.stderr[-300:]}"
