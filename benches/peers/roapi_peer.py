"""ROAPI: its server as a child process, asked over HTTP. Tables stay on the store (`use_memory_table: false`)."""

import http.client
import importlib.metadata
import json
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import time

import protocol

TYPES = {"int": "Int32", "string": "Utf8"}
PATIENCE_SECONDS = 120


class Session:
    """A server of its own; it lists the tables and infers their schemas at its start."""

    def __init__(self, config):
        self.folder = tempfile.TemporaryDirectory()
        ports = free_ports(3)
        # JSON is YAML.
        file = pathlib.Path(self.folder.name) / "roapi.yaml"
        file.write_text(json.dumps(document(config, ports)))
        roapi = pathlib.Path(sys.executable).parent / "roapi"
        environment = os.environ | {
            "AWS_ACCESS_KEY_ID": config["access_key"],
            "AWS_SECRET_ACCESS_KEY": config["secret_key"],
            "AWS_ENDPOINT_URL": config["endpoint"],
            "AWS_ENDPOINT": config["endpoint"],
            "AWS_REGION": config["region"],
            "AWS_DEFAULT_REGION": config["region"],
            "AWS_ALLOW_HTTP": "true",
        }
        self.log = (pathlib.Path(self.folder.name) / "log").open("w+")
        self.server = subprocess.Popen(
            [roapi, "-c", file], env=environment, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log
        )
        self.connection = http.client.HTTPConnection("127.0.0.1", ports[0])
        self.wait()

    def wait(self):
        """Until it answers."""
        end = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < end and self.server.poll() is None:
            try:
                self.connection.request("GET", "/health")
                self.connection.getresponse().read()
                return
            except OSError:
                self.connection.close()
                time.sleep(0.05)
        self.log.seek(0)
        raise RuntimeError(f"roapi did not start: {self.log.read()[-2000:]}")

    def run(self, sql):
        """Rows of a query; values are those of JSON."""
        self.connection.request("POST", "/api/sql", body=sql)
        response = self.connection.getresponse()
        body = response.read()
        if response.status != 200:
            raise RuntimeError(body.decode(errors="replace"))
        return [row.values() for row in json.loads(body)]

    def close(self):
        """Ends the server."""
        self.connection.close()
        self.server.kill()
        self.server.wait()
        self.log.close()
        self.folder.cleanup()


def document(config, ports):
    """The configuration file."""
    return {
        "addr": {
            "http": f"127.0.0.1:{ports[0]}",
            "postgres": f"127.0.0.1:{ports[1]}",
            "flight_sql": f"127.0.0.1:{ports[2]}",
        },
        "tables": [
            {
                "name": table["name"],
                "uri": f"s3://{config['bucket']}/{table['name']}/",
                "option": {"format": "parquet", "use_memory_table": False},
                "partition_columns": [
                    {"name": p["name"], "data_type": TYPES[p["type"]]} for p in table.get("partitions", [])
                ],
            }
            for table in config["tables"]
        ],
    }


def free_ports(count):
    """Ports that are free now."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


if __name__ == "__main__":
    protocol.serve(importlib.metadata.version("roapi"), Session)
