"""The HTTP side of a running server: health, and metrics that Prometheus' own linter accepts.

usage: python -W error test_http.py URL

Run it after some queries, so that the metrics have values. Without promtool the linter is reported as not run.
"""

import shutil
import subprocess
import sys
import urllib.request

EXPECTED = [
    "owlake_queries_total",
    "owlake_query_duration_seconds_bucket",
    "owlake_queries_running",
    "owlake_data_scanned_bytes_total",
    "owlake_cache_requests_total",
    "owlake_build_info",
]


def get(url):
    """Body of a 200 answer; anything else raises."""
    with urllib.request.urlopen(url, timeout=10) as response:
        return response.read().decode()


def main():
    """Fails with the first thing that is wrong."""
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    url = sys.argv[1].rstrip("/")
    get(f"{url}/healthz")
    metrics = get(f"{url}/metrics")
    missing = [name for name in EXPECTED if not any(line.startswith(name) for line in metrics.splitlines())]
    if missing:
        sys.exit(f"/metrics lacks {missing}")
    print("ok     health and metrics answer")
    promtool = shutil.which("promtool")
    if promtool is None:
        print("NOT RUN promtool check metrics: promtool is not installed (dev/setup)")
        return
    lint = subprocess.run([promtool, "check", "metrics"], input=metrics, text=True, capture_output=True)
    if lint.returncode != 0:
        sys.exit(f"promtool check metrics: {lint.stdout}{lint.stderr}")
    print("ok     promtool check metrics")


if __name__ == "__main__":
    main()
