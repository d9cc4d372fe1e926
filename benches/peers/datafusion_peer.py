"""Plain DataFusion from its Python package: listing tables on its own S3 store, default settings and caches."""

import importlib.metadata

import pyarrow
from datafusion import SessionContext
from datafusion.object_store import AmazonS3

import protocol

TYPES = {"int": pyarrow.int32(), "string": pyarrow.string()}


class Session:
    """A context of its own. Schemas are found by another one before, since a catalog would know them."""

    def __init__(self, config):
        finder = context(config)
        self.context = context(config)
        for table in config["tables"]:
            partitions = [(p["name"], TYPES[p["type"]]) for p in table.get("partitions", [])]
            path = f"s3://{config['bucket']}/{table['name']}/"
            finder.register_listing_table(table["name"], path, table_partition_cols=partitions)
            names = {name for name, _ in partitions}
            fields = [field for field in finder.table(table["name"]).schema() if field.name not in names]
            self.context.register_listing_table(
                table["name"], path, table_partition_cols=partitions, schema=pyarrow.schema(fields)
            )

    def run(self, sql):
        """Rows of a query."""
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
