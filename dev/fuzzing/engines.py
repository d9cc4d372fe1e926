"""The two engines: a server of Owlake with its connections, and DuckDB, which is told what Trino means."""

import pathlib
import re
import subprocess
import tempfile
import time

import adbc_driver_flightsql
import adbc_driver_manager
import duckdb
import pyarrow as pa

from fuzzing.files import arrow_table


class Refused(Exception):
    """A statement that an engine did not answer."""

    def __init__(self, code, text):
        super().__init__(code, text)
        self.code, self.text = code, text

    def __str__(self):
        return f"{self.code}: {self.text}"


class Server:
    """An `owlake serve` of its own on a folder of its own."""

    def __init__(self, binary):
        self.folder = tempfile.TemporaryDirectory(prefix="owlake-fuzz-")
        self.root = pathlib.Path(self.folder.name)
        self.lake = self.root / "lake"
        self.lake.mkdir()
        self.log = self.root / "log"
        command = [binary, "serve", "--listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0"]
        command += ["--data-dir", self.root / "data", "--allow-location", f"{self.lake.as_uri()}/"]
        command += ["--query-timeout", "60s", "--log-level", "warn"]
        with open(self.root / "ready", "w") as out, open(self.log, "w") as log:
            self.process = subprocess.Popen(command, stdout=out, stderr=log, stdin=subprocess.DEVNULL)
        self.url = self.wait()

    def wait(self):
        """The address that the server says when it is ready."""
        for _ in range(600):
            found = re.search(r"grpc://\S+", (self.root / "ready").read_text())
            if found:
                return found.group()
            if self.process.poll() is not None:
                break
            time.sleep(0.05)
        raise SystemExit(f"dev/fuzz: the server did not get ready: {self.last_words()}")

    def last_words(self):
        """The end of its log."""
        return self.log.read_text(errors="replace")[-2000:]

    def ended(self):
        """Whether the process is gone."""
        return self.process.poll() is not None

    def stop(self):
        """Ends the server and removes its folder."""
        self.process.terminate()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.folder.cleanup()


class Connection:
    """A connection to Owlake; statements are sent without preparing them, which is one exchange less."""

    def __init__(self, url, database):
        self.statements = 0
        # The families of the last answer's columns.
        self.families = []
        self.database = adbc_driver_flightsql.connect(url)
        self.connection = adbc_driver_manager.AdbcConnection(self.database)
        self.rows(f"CREATE DATABASE IF NOT EXISTS {database}")
        self.rows(f"USE {database}")

    def rows(self, sql):
        """The rows of a statement as tuples, or Refused."""
        self.statements += 1
        statement = adbc_driver_manager.AdbcStatement(self.connection)
        try:
            statement.set_sql_query(sql)
            stream, _ = statement.execute_query()
            table = pa.RecordBatchReader._import_from_c(stream.address).read_all()
        except adbc_driver_manager.Error as error:
            raise refusal(error) from None
        except (pa.ArrowException, OSError) as error:
            # Errors after the first batch come through the stream.
            raise refusal(error) from None
        finally:
            statement.close()
        self.families = [family(str(field.type)) for field in table.schema]
        columns = [column.to_pylist() for column in table.columns]
        return list(zip(*columns)) if columns else []

    def close(self):
        """Ends the session."""
        self.connection.close()
        self.database.close()


def refusal(error):
    """An error of the driver with the server's code."""
    text = str(error)
    found = re.search(
        r"\b([A-Z][A-Z0-9]+(?:_[A-Z0-9]+)+): (?!\[FlightSQL\])(.*?)(?: \((?:\w+); [^()]*\).*)?$", text, re.S
    )
    return Refused(found.group(1), found.group(2)) if found else Refused("NO_CODE", text)


# What Trino means where DuckDB means something else. Comparisons of doubles follow IEEE 754.
NAN = "isnan(a) OR isnan(b)"
MACROS = {
    **{
        f"ieee_{name}(a, b)": f"CASE WHEN a IS NULL OR b IS NULL THEN NULL ELSE a {sign} b AND NOT ({NAN}) END"
        for name, sign in (("eq", "="), ("lt", "<"), ("le", "<="), ("gt", ">"), ("ge", ">="))
    },
    "ieee_ne(a, b)": f"CASE WHEN a IS NULL OR b IS NULL THEN NULL ELSE a <> b OR {NAN} END",
    "largest(a, b)": "CASE WHEN a IS NULL OR b IS NULL THEN NULL ELSE greatest(a, b) END",
    "smallest(a, b)": "CASE WHEN a IS NULL OR b IS NULL THEN NULL ELSE least(a, b) END",
    "holds(l, e)": "CASE WHEN l IS NULL OR e IS NULL THEN NULL WHEN list_contains(l, e) THEN true "
    "WHEN list_count(l) < len(l) THEN NULL ELSE false END",
    "cardinality_of(l)": "len(l)",
}


def family(type):
    """Whether a type of Arrow or DuckDB is of whole numbers, decimals, doubles, or of something else."""
    names = {
        "int": "integer",
        "bigint": "integer",
        "hugeint": "integer",
        "decimal": "decimal",
        "double": "double",
    }
    return next((found for name, found in names.items() if type.lower().startswith(name)), "other")


class Duck:
    """DuckDB with the rows of a data set, in memory."""

    def __init__(self):
        self.tables = {}
        self.start()

    def start(self):
        """A new database."""
        self.connection = duckdb.connect(config={"threads": 1})
        self.connection.execute("SET default_null_order = 'nulls_last'")
        for head, body in MACROS.items():
            self.connection.execute(f"CREATE MACRO {head} AS {body}")

    def load(self, tables):
        """Makes the tables, anew where they are there."""
        for table in tables:
            self.tables[table.name] = table
            content = arrow_table(table)
            self.connection.register("content", content)
            self.connection.execute(f"CREATE OR REPLACE TABLE {table.name} AS SELECT * FROM content")
            self.connection.unregister("content")

    def rows(self, sql):
        """The rows of a query, or Refused."""
        try:
            return self.connection.execute(sql).fetchall()
        except duckdb.Error as error:
            if isinstance(error, (duckdb.FatalException, duckdb.InternalException)):
                # Nothing can be asked after such an error.
                self.start()
                self.load(list(self.tables.values()))
            raise Refused(type(error).__name__, str(error).strip().split("\n")[0]) from None
        except (ValueError, OverflowError) as error:
            raise Refused("PYTHON", str(error)) from None

    def families(self, sql):
        """The families of a query's columns."""
        return [family(row[1]) for row in self.rows(f"DESCRIBE SELECT * FROM ({sql}) q_q")]
