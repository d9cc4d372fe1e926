"""All 22 queries of TPC-H over Flight SQL: the same rows as DuckDB over the same Parquet files.

usage: python -W error test_tpch.py URL LAKE < DDL

URL is a running server, LAKE a directory with one folder of Parquet files per table, DDL the statements, each
ended by `;`, that define the tables. Texts and parameters are those of the specification's validation run, for
scale 0.1, in Athena's SQL; DuckDB reads the same text but for `DUCKDB_WORDS`.
"""

import decimal
import math
import pathlib
import sys

import adbc_driver_flightsql.dbapi as dbapi
import duckdb

DATABASE = "tpch_tests"
TABLES = ["region", "nation", "supplier", "part", "partsupp", "customer", "orders", "lineitem"]

# The fraction of query 11 is 0.0001 / scale.
QUERIES = {
    int(file.stem[1:]): file.read_text().replace(":fraction", "0.001")
    for file in sorted((pathlib.Path(__file__).parents[4] / "testdata" / "tpch").glob("q*.sql"))
}

# Where an average is compared with, its type matters: Athena's is a decimal of the column's scale, DuckDB's a double.
DUCKDB_WORDS = {
    17: ("avg(l_quantity)", "cast(round(avg(l_quantity), 2) as decimal(15, 2))"),
    22: ("avg(c_acctbal)", "cast(round(avg(c_acctbal), 2) as decimal(15, 2))"),
}


def agree(ours, theirs):
    """Whether two values are the same. Averages and quotients of decimals are doubles in DuckDB and decimals,
    rounded half up, in Athena."""
    if isinstance(ours, decimal.Decimal) and isinstance(theirs, float):
        unit = decimal.Decimal(1).scaleb(ours.as_tuple().exponent)
        return ours == decimal.Decimal(repr(theirs)).quantize(unit, decimal.ROUND_HALF_UP)
    if isinstance(ours, float) and isinstance(theirs, float):
        return math.isclose(ours, theirs, rel_tol=1e-9)
    return ours == theirs


def difference(ours, theirs):
    """The first difference of two lists of rows in words, or None."""
    if len(ours) != len(theirs):
        return f"{len(ours)} rows instead of {len(theirs)}"
    for number, (got, wanted) in enumerate(zip(ours, theirs), start=1):
        if len(got) != len(wanted) or not all(map(agree, got, wanted)):
            return f"row {number} is {got}, DuckDB has {wanted}"
    return None


def oracle(lake):
    """DuckDB with a view on the files of each table."""
    duck = duckdb.connect()
    for table in TABLES:
        files = lake / table / "*.parquet"
        duck.execute(f"CREATE VIEW {table} AS SELECT * FROM read_parquet('{files}')")
    return duck


def theirs(duck, number):
    """DuckDB's rows."""
    text = QUERIES[number]
    if number in DUCKDB_WORDS:
        text = text.replace(*DUCKDB_WORDS[number])
    return duck.execute(text).fetchall()


def check(cursor, duck, number):
    """What is wrong with one query, or None."""
    try:
        ours = cursor.execute(QUERIES[number]).fetchall()
    except dbapi.Error as error:
        return str(error)
    wanted = theirs(duck, number)
    # Over empty tables the two would always agree.
    if not wanted or any(value is None for value in wanted[0]):
        return f"the comparison says nothing: DuckDB has {wanted}"
    return difference(ours, wanted)


def main():
    """Runs all queries; the exit code says whether all agree."""
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    lake = pathlib.Path(sys.argv[2]).resolve()
    duck = oracle(lake)
    failures = 0
    with dbapi.connect(sys.argv[1]) as connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {DATABASE}")
        cursor.execute(f"USE {DATABASE}")
        for statement in sys.stdin.read().split(";\n"):
            if statement.strip():
                cursor.execute(statement)
        for number in QUERIES:
            wrong = check(cursor, duck, number)
            failures += wrong is not None
            print(f"ok     query {number}" if wrong is None else f"FAILED query {number}: {wrong}")
        cursor.execute(f"DROP DATABASE {DATABASE} CASCADE")
    print(f"{len(QUERIES) - failures} of {len(QUERIES)} queries agree with DuckDB")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
