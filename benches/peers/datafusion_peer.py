"""Plain DataFusion from its Python package: listing tables on its own S3 store, default settings and caches."""

import importlib.metadata
import re

import pyarrow
from datafusion import SessionContext
from datafusion.object_store import AmazonS3

import protocol

TYPES = {"int": pyarrow.int32(), "string": pyarrow.string()}


class Session:
    """A context of its own. Where the configuration says `schemas_known`, as a catalog would know them, another context
    has found them before; else a table is registered, and its schema found, when a query first names it."""

    def __init__(self, config):
        self.config = config
        self.context = context(config)
        self.unregistered = {table["name"]: table for table in config["tables"]}
        if config["schemas_known"]:
            finder = Session({**config, "schemas_known": False})
            for table in config["tables"]:
                finder.register(table["name"])
                keys = {partition["name"] for partition in table.get("partitions", [])}
                fields = [f for f in finder.context.table(table["name"]).schema() if f.name not in keys]
                self.register(table["name"], pyarrow.schema(fields))

    def register(self, name, schema=None):
        """A listing table over the folder of its name."""
        partitions = self.unregistered.pop(name).get("partitions", [])
        self.context.register_listing_table(
            name,
            f"s3://{self.config['bucket']}/{name}/",
            table_partition_cols=[(p["name"], TYPES[p["type"]]) for p in partitions],
            schema=schema,
        )

    def run(self, sql):
        """Rows of a query."""
        for name in re.findall(r"\b(?:FROM|JOIN) (\w+)", sql):
            if name in self.unregistered:
                self.register(name)
        return [row.values() for batch in self.context.sql(sql).collect() for row in batch.to_pylist()]

    def close(self):
        """The context goes with this object."""


def context(config):
    """A context that reaches the bucket."""
    made = SessionContext()
    store = AmazonS3(
        bucket_name=config["bucket"],
        region=config["region"],
        access_key_id=config["access_key"],
        secret_access_key=config["secret_key"],
        endpoint=config["endpoint"],
        allow_http=True,
    )
    made.register_object_store("s3://", store, config["bucket"])
    return made


if __name__ == "__main__":
    protocol.serve(importlib.metadata.version("datafusion"), Session)
