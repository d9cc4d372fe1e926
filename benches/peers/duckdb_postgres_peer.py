"""DuckDB with its postgres extension from its wheel: tables of PostgreSQL as Arrow, with its own parallel scans."""

import pathlib

import duckdb
import duckdb_extension_postgres_scanner

import protocol


class Session:
    """A database with the server attached."""

    def __init__(self, config):
        self.database = duckdb.connect()
        folder = pathlib.Path(duckdb_extension_postgres_scanner.__file__).parent
        extension = next(folder.rglob("postgres_scanner.duckdb_extension"))
        self.database.execute(f"LOAD '{extension}'")
        self.database.execute(f"ATTACH '{config['url']}' AS pg (TYPE postgres, READ_ONLY)")

    def run(self, sql):
        """The number of rows, which are then in the client."""
        result = self.database.execute(sql.replace("FROM ", "FROM pg."))
        return [[result.to_arrow_table().num_rows]]

    def close(self):
        """Closes its connections."""
        self.database.close()


protocol.serve(duckdb.__version__, Session)
