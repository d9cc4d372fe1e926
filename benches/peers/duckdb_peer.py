"""DuckDB: local files, or S3 through httpfs from its wheel. Its caches of files and of Parquet footers are on."""

import pathlib
import re

import duckdb
import duckdb_extension_httpfs

import protocol


class Session:
    """A database of its own, so that nothing is cached; names of tables become reads of their files."""

    def __init__(self, config):
        self.database = duckdb.connect()
        self.database.execute("SET enable_external_file_cache = true")
        self.database.execute("SET parquet_metadata_cache = true")
        self.files = {}
        if "directory" in config:
            for table in config["tables"]:
                files = reader(config["directory"].rstrip("/"), table)
                self.database.execute(f"CREATE VIEW {table['name']} AS SELECT * FROM {files}")
        else:
            self.connect_s3(config)
            # A view would read footers when it is made; written out, everything is read within the query.
            self.files = {table["name"]: reader(f"s3://{config['bucket']}", table) for table in config["tables"]}

    def connect_s3(self, config):
        """Loads httpfs from the file in its wheel: no network."""
        folder = pathlib.Path(duckdb_extension_httpfs.__file__).parent
        extension = next(folder.rglob("httpfs.duckdb_extension"))
        self.database.execute(f"LOAD '{extension}'")
        endpoint = config["endpoint"].removeprefix("http://")
        self.database.execute(
            f"CREATE SECRET store (TYPE s3, KEY_ID '{config['access_key']}', SECRET '{config['secret_key']}', "
            f"ENDPOINT '{endpoint}', REGION '{config['region']}', URL_STYLE 'path', USE_SSL false)"
        )

    def run(self, sql):
        """Rows of a query."""
        text = sql
        for name, files in self.files.items():
            text = re.sub(rf"\b(FROM|JOIN) {name}\b", rf"\1 {files} AS {name}", text)
        return self.database.execute(text).fetchall()

    def close(self):
        """Frees the caches."""
        self.database.close()


def reader(root, table):
    """The table function that reads a table."""
    partitions = table.get("partitions", [])
    path = f"{root}/{table['name']}/{'*/' * len(partitions)}*.parquet"
    if not partitions:
        return f"read_parquet('{path}')"
    types = ", ".join(f"'{p['name']}': {'INTEGER' if p['type'] == 'int' else 'VARCHAR'}" for p in partitions)
    return f"read_parquet('{path}', hive_partitioning = true, hive_types = {{{types}}})"


if __name__ == "__main__":
    protocol.serve(duckdb.__version__, Session)
