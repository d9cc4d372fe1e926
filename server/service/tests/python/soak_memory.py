"""Statements that ask for more memory than there is, from 8 clients at once: each ends in a result or a refusal.

usage: python soak_memory.py URL ROUNDS < DDL

URL is a running server with little memory, DDL the statements, each ended by `;`, that define the TPC-H tables.
Beside the 8 clients, one more asks small questions all the time: it has to be answered. Prints a table of how each
statement ended; the exit code says whether all ended as they may.
"""

import collections
import pathlib
import queue
import sys
import threading
import time

import adbc_driver_flightsql.dbapi as dbapi

CLIENTS = 8
DATABASE = "soak"

LINES = "lineitem"
PAIRS = "lineitem a CROSS JOIN lineitem b"


def doubling(levels):
    """CTEs that each read the one before twice."""
    steps = ", ".join(f"c{n} AS (SELECT * FROM c{n - 1} UNION ALL SELECT * FROM c{n - 1})" for n in range(1, levels + 1))
    return f"WITH c0 AS (SELECT * FROM orders), {steps} SELECT count(DISTINCT o_comment) FROM c{levels}"


BOMBS = {
    "one text of 1 GB": "SELECT length(rpad('x', 1000000000, 'y'))",
    "a text of 1 MB for each row": f"SELECT max(length(rpad(l_comment, 1000000, 'x'))) FROM {LINES}",
    "padded on the left": f"SELECT sum(length(lpad(l_comment, 500000, 'x'))) FROM {LINES}",
    "replace that grows": f"SELECT max(length(replace(l_comment, 'e', rpad('', 100000, 'x')))) FROM {LINES}",
    "an array of 1e9 numbers": "SELECT cardinality(sequence(1, 1000000000))",
    "an array repeated": "SELECT cardinality(repeat('x', 1000000000))",
    "an array for each row": f"SELECT sum(cardinality(sequence(1, 100000))) FROM {LINES}",
    "an unnested array": "SELECT sum(n) FROM unnest(sequence(1, 200000000)) AS t (n)",
    "all comments in one array": f"SELECT cardinality(array_agg(a.l_comment)) FROM {PAIRS}",
    "all comments in one text": f"SELECT length(array_join(array_agg(a.l_comment), ',')) FROM {PAIRS}",
    "groups without end": f"SELECT count(*) FROM (SELECT a.l_comment, b.l_comment, count(*) FROM {PAIRS} GROUP BY 1, 2)",
    "distinct rows without end": f"SELECT count(*) FROM (SELECT DISTINCT a.*, b.l_comment FROM {PAIRS})",
    "distinct values": f"SELECT count(DISTINCT concat(a.l_comment, b.l_comment)) FROM {PAIRS}",
    "a sort without end": f"SELECT max(r) FROM (SELECT row_number() OVER (ORDER BY a.l_comment, b.l_comment) AS r FROM {PAIRS})",
    "a sorted result": f"SELECT a.l_comment, b.* FROM {PAIRS} ORDER BY b.l_comment, a.l_comment LIMIT 1000000",
    "a window over all": f"SELECT max(s) FROM (SELECT sum(a.l_quantity) OVER (PARTITION BY a.l_shipmode ORDER BY b.l_comment) AS s FROM {PAIRS})",
    "a join on one value": f"SELECT count(*) FROM {LINES} a JOIN {LINES} b ON a.l_linestatus = b.l_linestatus AND a.l_comment < b.l_comment",
    "a wide hash join": "SELECT count(*) FROM lineitem a JOIN lineitem b ON a.l_comment = b.l_comment JOIN lineitem c ON b.l_comment = c.l_comment",
    "a cube": f"SELECT count(*) FROM (SELECT l_orderkey, l_partkey, l_suppkey, l_comment, count(*) FROM {LINES} GROUP BY CUBE (l_orderkey, l_partkey, l_suppkey, l_comment))",
    "CTEs that double": doubling(12),
    "a recursion without end": "WITH RECURSIVE r (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT count(*) FROM r",
    "a long constant in each row": f"SELECT max(length(CASE WHEN l_orderkey % 2 = 0 THEN rpad('x', 1000000, 'y') ELSE l_comment END)) FROM {LINES}",
    "a long literal in each row": f"SELECT max(length(c)) FROM (SELECT concat(c, l_comment) AS c FROM (SELECT '{'z' * 100_000}' AS c, l_comment FROM {LINES}))",
    "a long text joined to each row": f"SELECT max(length(concat(a.x, b.l_comment))) FROM (SELECT rpad(r_name, 200000, 'y') AS x FROM region) a CROSS JOIN {LINES} b",
    "a gathered array joined to each row": f"SELECT sum(cardinality(x)) FROM (SELECT array_agg(l_comment) AS x FROM {LINES}) CROSS JOIN orders",
    "a gathered text joined to each row": f"SELECT max(length(concat(x, o_comment))) FROM (SELECT array_join(array_agg(p_name), ',') AS x FROM part) CROSS JOIN orders",
    "a long text beside an unnested array": f"SELECT count(*) FROM (SELECT rpad(l_comment, 100000, 'x') AS c, n FROM {LINES} CROSS JOIN UNNEST(sequence(1, 10000)) AS t (n)) WHERE length(c) < n",
    "a map of all": f"SELECT cardinality(map_agg(concat(a.l_comment, b.n_comment), a.l_comment)) FROM {LINES} a CROSS JOIN nation b",
    "a histogram of all": f"SELECT cardinality(histogram(concat(a.l_comment, b.n_comment))) FROM {LINES} a CROSS JOIN nation b",
    "texts split into letters": f"SELECT sum(cardinality(split(rpad(l_comment, 100000, 'x,'), ','))) FROM {LINES}",
    "a pattern that grows": f"SELECT max(length(regexp_replace(l_comment, '.', rpad('', 20000, 'x')))) FROM {LINES}",
    "a sort of wide rows": f"SELECT max(r) FROM (SELECT row_number() OVER (ORDER BY rpad(l_comment, 5000, 'x')) AS r FROM {LINES})",
    "the first of wide rows": f"SELECT rpad(l_comment, 20000, 'x') AS c FROM {LINES} ORDER BY c LIMIT 100000",
    "groups of wide rows": f"SELECT count(*) FROM (SELECT rpad(l_comment, 10000, 'x') AS c FROM {LINES} GROUP BY 1)",
    "wide rows sent": "SELECT rpad(n_comment, 15000000, 'x') FROM nation",
    "many wide rows sent": f"SELECT rpad(o_comment, 20000, 'x') FROM orders",
    "a join of wide rows": f"SELECT max(length(concat(a.c, b.l_comment))) FROM (SELECT l_orderkey, rpad(l_comment, 3000, 'x') AS c FROM {LINES}) a JOIN {LINES} b ON a.l_orderkey = b.l_orderkey",
    "a large result": f"SELECT a.* FROM {LINES} a CROSS JOIN region",
    "a plain query": "SELECT l_returnflag, sum(l_extendedprice) FROM lineitem GROUP BY l_returnflag",
    "a join of TPC-H": "SELECT o_orderpriority, count(*) FROM orders JOIN lineitem ON o_orderkey = l_orderkey GROUP BY o_orderpriority",
}

TPCH = sorted((pathlib.Path(__file__).parents[4] / "testdata/tpch").glob("q*.sql"))

# How a statement may end: what it needs is refused by a limit (memory, time, spill, sizes), or it is not supported.
REFUSALS = {
    "EXCEEDED_MEMORY_LIMIT",
    "EXCEEDED_SPILL_LIMIT",
    "EXCEEDED_TIME_LIMIT",
    "QUERY_QUEUE_FULL",
    "NOT_SUPPORTED",
    "FUNCTION_NOT_FOUND",
    "INVALID_FUNCTION_ARGUMENT",
    "QUERY_TEXT_TOO_LARGE",
}


def outcome(cursor, sql):
    """`result`, or the name of the error and the gRPC status."""
    try:
        cursor.execute(sql)
        reader = cursor.fetch_record_batch()
        for _ in reader:
            pass
        return "result"
    except Exception as error:  # every way to fail is an outcome
        text = str(error)
        words = text.replace("(", " ").replace(";", " ").split()
        named = [w.rstrip(":") for w in words if w.endswith(":") and w[:-1].replace("_", "").isalnum() and w[:-1].isupper()]
        return next((n for n in named if "_" in n and n != "INVALID_ARGUMENT"), text[:200])


def ask(url, sql):
    """How a statement ends in a session of its own; a server that has gone is an ending too."""
    connection = cursor = None
    try:
        connection = dbapi.connect(url, autocommit=True)
        cursor = connection.cursor()
        cursor.execute(f"USE {DATABASE}")
        return outcome(cursor, sql)
    except Exception as error:
        return f"no session: {str(error)[:200]}"
    finally:
        for open_one in (cursor, connection):
            try:
                if open_one is not None:
                    open_one.close()
            except Exception:  # a server that has gone cannot close anything
                pass


def work(url, tasks, endings):
    """One client: takes statements until there are none."""
    while True:
        try:
            name, sql = tasks.get_nowait()
        except queue.Empty:
            return
        begun = time.monotonic()
        endings.put((name, ask(url, sql), time.monotonic() - begun))


def bystander(url, stopped, waits, failures):
    """Asks small questions until told to stop."""
    while not stopped.is_set():
        begun = time.monotonic()
        end = ask(url, "SELECT count(*) FROM nation")
        waits.append(time.monotonic() - begun)
        if end != "result":
            failures.append(end)
        stopped.wait(0.25)


def main():
    """Runs all rounds; the exit code says whether every statement ended as it may."""
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    # The driver complains from its destructors when the server has gone; how statements ended says that already.
    sys.unraisablehook = lambda _: None
    url, rounds = sys.argv[1], int(sys.argv[2])
    with dbapi.connect(url) as connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {DATABASE}")
        cursor.execute(f"USE {DATABASE}")
        for statement in sys.stdin.read().split(";\n"):
            if statement.strip():
                cursor.execute(statement)
    tasks, endings = queue.Queue(), queue.Queue()
    for _ in range(rounds):
        for task in BOMBS.items():
            tasks.put(task)
    for path in TPCH:
        tasks.put((f"TPC-H {path.stem}", path.read_text().replace(":fraction", "0.001")))
    stopped, waits, failures = threading.Event(), [], []
    watcher = threading.Thread(target=bystander, args=(url, stopped, waits, failures))
    watcher.start()
    clients = [threading.Thread(target=work, args=(url, tasks, endings)) for _ in range(CLIENTS)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    stopped.set()
    watcher.join()
    counted = collections.defaultdict(list)
    bad = len(failures)
    while not endings.empty():
        name, end, seconds = endings.get()
        allowed = end == "result" or end in REFUSALS
        bad += not allowed
        counted[name].append(f"{'' if allowed else 'BAD: '}{end} ({seconds:.1f} s)")
    print("| statement | how it ended |\n|---|---|")
    for name, ends in counted.items():
        print(f"| {name} | {'; '.join(ends)} |")
    print(f"\n{len(waits)} small questions beside them, the longest took {max(waits):.1f} s, {len(failures)} failed")
    print("".join(f"- {failure}\n" for failure in sorted(set(failures))[:5]), end="")
    print(f"{bad} statements ended as none may")
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
