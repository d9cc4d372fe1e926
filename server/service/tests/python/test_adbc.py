"""Owlake through the stock ADBC Flight SQL driver: what a Python user does, with warnings as errors.

usage: python -W error test_adbc.py URL LAKE

URL is a running server, LAKE a directory below one of its allowed locations. Each test is a function whose
name is the fact it checks; the tests share one database, which the set-up makes and the last lines drop.
"""

import contextlib
import datetime
import decimal
import math
import pathlib
import sys
import traceback

import adbc_driver_flightsql.dbapi as dbapi
import pyarrow as pa
import pyarrow.parquet as pq

CATALOG = "awsdatacatalog"
DATABASE = "adbc_tests"
TABLE = f"{DATABASE}.every_type"

# Column, Hive type, Arrow type on the wire. Lists name their child `item`, as Arrow does.
COLUMNS = [
    ("id", "int", pa.int32()),
    ("flag", "boolean", pa.bool_()),
    ("tiny", "tinyint", pa.int8()),
    ("small", "smallint", pa.int16()),
    ("big", "bigint", pa.int64()),
    ("single_f", "float", pa.float32()),
    ("double_f", "double", pa.float64()),
    ("amount", "decimal(18,4)", pa.decimal128(18, 4)),
    ("wide", "decimal(38,0)", pa.decimal128(38, 0)),
    ("name", "string", pa.string()),
    ("code", "varchar(8)", pa.string()),
    ("raw", "binary", pa.binary()),
    ("born", "date", pa.date32()),
    ("seen_at", "timestamp", pa.timestamp("ms")),
    ("scores", "array<int>", pa.list_(pa.field("item", pa.int32()))),
    ("place", "struct<x:int,y:string>", pa.struct([("x", pa.int32()), ("y", pa.string())])),
    ("labels", "map<string,bigint>", pa.map_(pa.string(), pa.int64())),
]
SCHEMA = pa.schema([(name, arrow) for name, _, arrow in COLUMNS])

ROWS = [
    {
        "id": 1,
        "flag": True,
        "tiny": -128,
        "small": 32767,
        "big": -(2**63),
        "single_f": 0.5,
        "double_f": math.inf,
        "amount": decimal.Decimal("-99999999999999.9999"),
        "wide": decimal.Decimal("9" * 38),
        "name": "größer 🦉",
        "code": "",
        "raw": b"\x00\xff",
        "born": datetime.date(1969, 12, 31),
        "seen_at": datetime.datetime(2024, 2, 29, 23, 59, 59, 999000),
        "scores": [1, None, 3],
        "place": {"x": 7, "y": None},
        "labels": [("a", 1), ("b", None)],
    },
    {
        "id": 2,
        "flag": False,
        "tiny": 127,
        "small": -32768,
        "big": 2**63 - 1,
        "single_f": -1.25,
        "double_f": 1e-300,
        "amount": decimal.Decimal("0.0001"),
        "wide": decimal.Decimal("-1"),
        "name": "",
        "code": "12345678",
        "raw": b"",
        "born": datetime.date(9999, 12, 31),
        "seen_at": datetime.datetime(1900, 1, 1),
        "scores": [],
        "place": {"x": None, "y": "here"},
        "labels": [],
    },
    {name: 3 if name == "id" else None for name, _, _ in COLUMNS},
]

TESTS = []


def test(function):
    """Puts a function on the list."""
    TESTS.append(function)
    return function


class Server:
    """The server under test."""

    def __init__(self, url):
        self.url = url

    def connect(self):
        """A connection of its own session; to be used in `with`."""
        return dbapi.connect(self.url)

    @contextlib.contextmanager
    def cursor(self):
        """A cursor of a connection of its own."""
        with self.connect() as connection, connection.cursor() as cursor:
            yield cursor

    def rows(self, sql, parameters=None):
        """All rows of one query."""
        with self.cursor() as cursor:
            return cursor.execute(sql, parameters).fetchall()


def set_up(server, lake):
    """Writes the Parquet file and defines the table, all by `execute`."""
    folder = lake / "every_type"
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(ROWS, schema=SCHEMA), folder / "part-0.parquet")
    columns = ", ".join(f"{name} {hive}" for name, hive, _ in COLUMNS)
    with server.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {DATABASE}")
        cursor.execute(
            f"CREATE EXTERNAL TABLE {TABLE} ({columns}) STORED AS PARQUET LOCATION '{folder.as_uri()}/'"
        )


def tear_down(server):
    """Drops what the set-up made; the file stays."""
    with server.cursor() as cursor:
        cursor.execute(f"DROP TABLE {TABLE}")
        cursor.execute(f"DROP DATABASE {DATABASE}")


@contextlib.contextmanager
def raises(error, *words):
    """The block has to end with `error`, whose text holds all `words`."""
    try:
        yield
    except dbapi.Error as caught:
        assert isinstance(caught, error), f"{type(caught).__name__} instead of {error.__name__}: {caught}"
        missing = [word for word in words if word not in str(caught)]
        assert not missing, f"{missing} not in: {caught}"
    else:
        raise AssertionError(f"no {error.__name__} was raised")


def same(got, wanted):
    """Equality that shows both sides when it fails."""
    assert got == wanted, f"got {got!r}, wanted {wanted!r}"


# Connections


@test
def connecting_gives_no_warning_and_a_first_row(server):
    same(server.rows("SELECT 1"), [(1,)])


@test
def commit_and_rollback_are_accepted(server):
    with server.connect() as connection:
        connection.commit()
        connection.rollback()
        with connection.cursor() as cursor:
            same(cursor.execute("SELECT 2").fetchone(), (2,))
        connection.commit()


@test
def a_closed_connection_does_not_disturb_the_next(server):
    connection = server.connect()
    cursor = connection.cursor()
    cursor.execute(f"SELECT * FROM {TABLE}")
    cursor.close()
    cursor.close()
    connection.close()
    with raises(dbapi.ProgrammingError):
        connection.cursor()
    same(server.rows("SELECT 3"), [(3,)])


@test
def cursors_of_one_connection_do_not_disturb_each_other(server):
    sql = f"SELECT id FROM {TABLE} ORDER BY id"
    with server.connect() as connection, connection.cursor() as one, connection.cursor() as two:
        one.execute(sql)
        same(one.fetchone(), (1,))
        two.execute(sql + " DESC")
        same(two.fetchall(), [(3,), (2,), (1,)])
        two.close()
        same(one.fetchall(), [(2,), (3,)])


@test
def catalog_and_database_of_a_session_can_be_read_and_set(server):
    with server.connect() as connection, server.connect() as other, connection.cursor() as cursor:
        same(connection.adbc_current_catalog, CATALOG)
        same(connection.adbc_current_db_schema, "default")
        connection.adbc_current_catalog = CATALOG
        connection.adbc_current_db_schema = DATABASE
        same(connection.adbc_current_db_schema, DATABASE)
        same(cursor.execute("SELECT count(*) FROM every_type").fetchone(), (3,))
        same(other.adbc_current_db_schema, "default")


@test
def use_changes_the_database_of_the_session(server):
    with server.connect() as connection, connection.cursor() as cursor:
        cursor.execute(f"USE {DATABASE}")
        same(connection.adbc_current_db_schema, DATABASE)
        same(cursor.execute("SELECT max(id) FROM every_type").fetchone(), (3,))


# Results


@test
def every_type_arrives_as_it_was_written(server):
    with server.cursor() as cursor:
        table = cursor.execute(f"SELECT * FROM {TABLE} ORDER BY id").fetch_arrow_table()
    same(table.schema.names, SCHEMA.names)
    for got, wanted in zip(table.schema, SCHEMA):
        same((got.name, got.type), (wanted.name, wanted.type))
    for got, wanted in zip(table.to_pylist(), ROWS):
        for name in SCHEMA.names:
            same((name, got[name]), (name, wanted[name]))
    same(table.num_rows, len(ROWS))


@test
def rows_come_as_python_values(server):
    row = server.rows(f"SELECT amount, born, seen_at, raw, name FROM {TABLE} WHERE id = 1")[0]
    same(row, tuple(ROWS[0][name] for name in ("amount", "born", "seen_at", "raw", "name")))


@test
def an_empty_result_keeps_its_schema(server):
    with server.cursor() as cursor:
        for ending in ("WHERE id < 0", "LIMIT 0"):
            table = cursor.execute(f"SELECT * FROM {TABLE} {ending}").fetch_arrow_table()
            same(table.num_rows, 0)
            same([(f.name, f.type) for f in table.schema], [(f.name, f.type) for f in SCHEMA])


@test
def names_of_columns_survive_even_when_two_are_the_same(server):
    with server.cursor() as cursor:
        cursor.execute("SELECT 1 AS a, 'x' AS a, 2 AS b")
        same([column[0] for column in cursor.description], ["a", "a", "b"])
        same(cursor.fetchall(), [(1, "x", 2)])


@test
def the_schema_of_a_query_is_known_without_running_it(server):
    with server.cursor() as cursor:
        schema = cursor.adbc_execute_schema(f"SELECT id, name, count(*) AS n FROM {TABLE} GROUP BY id, name")
        same(schema.names, ["id", "name", "n"])
        same(schema.types, [pa.int32(), pa.string(), pa.int64()])


@test
def rows_can_be_fetched_in_portions(server):
    with server.cursor() as cursor:
        cursor.execute(f"SELECT id FROM {TABLE} ORDER BY id")
        same(cursor.fetchone(), (1,))
        same(cursor.fetchmany(1), [(2,)])
        same(cursor.fetchmany(10), [(3,)])
        same(cursor.fetchone(), None)


# Parameters


@test
def parameters_of_several_types_are_bound(server):
    sql = f"SELECT id FROM {TABLE} WHERE id >= ? AND name = ? AND born = ? AND amount < ?"
    values = (1, ROWS[0]["name"], ROWS[0]["born"], 0)
    same(server.rows(sql, values), [(1,)])


@test
def a_null_parameter_equals_nothing(server):
    same(server.rows(f"SELECT id FROM {TABLE} WHERE name = ?", (None,)), [])
    same(server.rows("SELECT CAST(? AS varchar)", (None,)), [(None,)])


@test
def a_prepared_statement_runs_again_with_other_values(server):
    with server.cursor() as cursor:
        for value in (2, 3, 1):
            rows = cursor.execute(f"SELECT id FROM {TABLE} WHERE id = ?", (value,)).fetchall()
            same(rows, [(value,)])


@test
def the_types_of_parameters_are_inferred(server):
    with server.cursor() as cursor:
        schema = cursor.adbc_prepare(f"SELECT id FROM {TABLE} WHERE born = ? AND big > ?")
        same(schema.types, [pa.date32(), pa.int64()])


@test
def several_rows_of_parameters_are_refused(server):
    sql = f"SELECT id FROM {TABLE} WHERE id = ?"
    with server.cursor() as cursor:
        with raises(dbapi.ProgrammingError, "INVALID_PARAMETER_USAGE"):
            cursor.execute(sql, pa.record_batch({"id": [1, 2]})).fetchall()
        with raises(dbapi.ProgrammingError, "INVALID_PARAMETER_USAGE"):
            cursor.executemany(sql, [(1,), (2,)])


@test
def parameters_that_do_not_fit_are_refused(server):
    sql = f"SELECT id FROM {TABLE} WHERE id = ?"
    with raises(dbapi.ProgrammingError, "TYPE_MISMATCH", "parameter 1"):
        server.rows(sql, ("three",))
    with raises(dbapi.ProgrammingError, "INVALID_PARAMETER_USAGE"):
        server.rows(sql, (1, 2))
    with raises(dbapi.ProgrammingError, "INVALID_PARAMETER_USAGE"):
        server.rows(sql)


# Metadata


def objects(server, depth, **filters):
    """The tree of `adbc_get_objects` as nested lists and dictionaries."""
    with server.connect() as connection:
        return connection.adbc_get_objects(depth=depth, **filters).read_all().to_pylist()


def tables(server, **filters):
    """(database, table, type) of all tables that the filters leave."""
    return [
        (database["db_schema_name"], table["table_name"], table["table_type"])
        for catalog in objects(server, "tables", **filters)
        for database in catalog["catalog_db_schemas"] or []
        for table in database["db_schema_tables"] or []
    ]


@test
def catalogs_and_databases_are_listed(server):
    assert CATALOG in [catalog["catalog_name"] for catalog in objects(server, "catalogs")]
    (catalog,) = objects(server, "db_schemas", catalog_filter=CATALOG)
    names = [database["db_schema_name"] for database in catalog["catalog_db_schemas"]]
    assert {"default", DATABASE} <= set(names), names


@test
def the_whole_tree_has_every_column_in_order(server):
    (catalog,) = objects(server, "all", catalog_filter=CATALOG, db_schema_filter=DATABASE)
    (database,) = catalog["catalog_db_schemas"]
    (table,) = database["db_schema_tables"]
    same((table["table_name"], table["table_type"]), ("every_type", "TABLE"))
    columns = table["table_columns"]
    same([column["column_name"] for column in columns], SCHEMA.names)
    same([column["ordinal_position"] for column in columns], list(range(1, len(COLUMNS) + 1)))


@test
def the_whole_tree_comes_without_any_filter(server):
    found = [
        table["table_name"]
        for catalog in objects(server, "all")
        for database in catalog["catalog_db_schemas"]
        for table in database["db_schema_tables"]
    ]
    assert {"every_type", "queries"} <= set(found), found


@test
def filters_are_patterns(server):
    wanted = [(DATABASE, "every_type", "TABLE")]
    for pattern in ("every_type", "every%", "every_typ_", "%type"):
        same(tables(server, db_schema_filter=DATABASE, table_name_filter=pattern), wanted)
    same(tables(server, db_schema_filter="adbc\\_test%", table_types_filter=["TABLE"]), wanted)
    for nothing in (
        {"table_name_filter": "no_such%"},
        {"db_schema_filter": DATABASE, "table_types_filter": ["VIEW"]},
        {"db_schema_filter": "adbc\\%"},
        {"catalog_filter": "no_such_catalog"},
    ):
        same(tables(server, **nothing), [])


@test
def a_column_filter_leaves_some_columns(server):
    (catalog,) = objects(server, "all", db_schema_filter=DATABASE, column_name_filter="s%", catalog_filter=CATALOG)
    (table,) = catalog["catalog_db_schemas"][0]["db_schema_tables"]
    names = [column["column_name"] for column in table["table_columns"]]
    same(names, [name for name in SCHEMA.names if name.startswith("s")])


@test
def the_schema_of_a_table_is_that_of_its_results(server):
    with server.connect() as connection:
        schema = connection.adbc_get_table_schema(
            "every_type", catalog_filter=CATALOG, db_schema_filter=DATABASE
        )
        same([(f.name, f.type, f.nullable) for f in schema], [(f.name, f.type, True) for f in SCHEMA])
        with raises(dbapi.ProgrammingError):
            connection.adbc_get_table_schema("no_such_table", db_schema_filter=DATABASE)


@test
def the_server_names_itself(server):
    with server.connect() as connection:
        info = connection.adbc_get_info()
        same(info["vendor_name"], "Owlake")
        assert info["vendor_version"] and info["vendor_arrow_version"], info


@test
def the_kinds_of_tables_are_the_words_that_tools_know(server):
    with server.connect() as connection:
        same(sorted(connection.adbc_get_table_types()), ["SYSTEM TABLE", "TABLE", "VIEW"])


# Statements without rows, and errors


@test
def definitions_take_effect_when_they_are_executed_and_only_once(server):
    with server.cursor() as cursor:
        cursor.execute("CREATE DATABASE adbc_once")
        same(cursor.fetchall(), [])
        assert ("adbc_once",) in server.rows("SHOW DATABASES")
        cursor.execute("DROP DATABASE adbc_once")
        assert ("adbc_once",) not in server.rows("SHOW DATABASES")
        same(
            server.rows("SELECT state FROM system.queries WHERE query LIKE '%DATABASE adbc_once'"),
            [("SUCCEEDED",)] * 2,
        )


# Statement, class of the error, words of its text.
ERRORS = [
    ("SELEC 1", dbapi.ProgrammingError, ["SYNTAX_ERROR"]),
    ("SELECT * FROM no_such_table", dbapi.ProgrammingError, ["TABLE_NOT_FOUND", "no_such_table"]),
    ("SELECT * FROM no_such_db.t", dbapi.ProgrammingError, ["SCHEMA_NOT_FOUND", "no_such_db"]),
    ("SELECT * FROM no_such_catalog.a.t", dbapi.ProgrammingError, ["CATALOG_NOT_FOUND"]),
    (f"SELECT no_such_column FROM {TABLE}", dbapi.ProgrammingError, ["COLUMN_NOT_FOUND"]),
    ("SELECT no_such_function(1)", dbapi.ProgrammingError, ["FUNCTION_NOT_FOUND"]),
    (f"SELECT 1 / (id - id) FROM {TABLE}", dbapi.ProgrammingError, ["DIVISION_BY_ZERO"]),
    (f"CREATE DATABASE {DATABASE}", dbapi.ProgrammingError, ["SCHEMA_ALREADY_EXISTS"]),
    (f"DELETE FROM {TABLE}", dbapi.ProgrammingError, ["NOT_SUPPORTED"]),
    (
        "CREATE EXTERNAL TABLE default.outside (a int) STORED AS PARQUET LOCATION 'file:///etc/'",
        dbapi.ProgrammingError,
        ["LOCATION_NOT_ALLOWED"],
    ),
]


@test
def errors_have_their_class_and_their_name(server):
    failures = []
    for sql, error, words in ERRORS:
        try:
            with raises(error, *words):
                server.rows(sql)
        except AssertionError as failure:
            failures.append(f"{sql}: {failure}")
    assert not failures, "\n" + "\n".join(failures)


@test
def a_users_error_does_not_break_the_connection(server):
    with server.connect() as connection, connection.cursor() as cursor:
        for sql, error, _ in ERRORS:
            with raises(error):
                cursor.execute(sql).fetchall()
            same(cursor.execute("SELECT 4").fetchall(), [(4,)])


@test
def ingestion_is_refused_by_name(server):
    with server.cursor() as cursor, raises(dbapi.NotSupportedError):
        cursor.adbc_ingest("copied", pa.table({"a": [1]}), db_schema_name=DATABASE)


def run(server, function):
    """Whether one test passed; tells what happened."""
    try:
        function(server)
    # A test that ends by any exception has failed; the others still run.
    except Exception:
        print(f"FAILED {function.__name__}")
        traceback.print_exc(file=sys.stdout)
        return False
    print(f"ok     {function.__name__}")
    return True


def main():
    """Runs all tests; the exit code says whether all passed."""
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    server, lake = Server(sys.argv[1]), pathlib.Path(sys.argv[2]).resolve()
    set_up(server, lake)
    passed = [run(server, function) for function in TESTS]
    tear_down(server)
    print(f"{passed.count(True)} passed, {passed.count(False)} failed")
    sys.exit(0 if all(passed) else 1)


if __name__ == "__main__":
    main()
