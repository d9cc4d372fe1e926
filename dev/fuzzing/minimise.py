"""Makes a case and its data smaller while the same kind of difference stays."""

import dataclasses
import re
import time

from fuzzing import files, syntax
from fuzzing.engines import Refused
from fuzzing.oracles import AGREE, DIFFERENT, Judge, Outcome, byte_faults, used_tables
from fuzzing.relations import Rows, Table
from fuzzing.schema import File, FilePlan, NESTED
from fuzzing.syntax import (
    BIGINT,
    DATE,
    DECIMAL,
    DOUBLE,
    Expression,
    INTEGER,
    TIMESTAMP,
    VARCHAR,
    size,
)


def code_of(outcome):
    """What has to stay: the kind, and for errors the code with the first words."""
    errors = outcome.kind in ("internal", "words", "false error")
    return outcome.kind, re.sub(r"\d+", "", outcome.detail)[:50] if errors else ""


class Minimiser:
    """Works on copies of a data set's tables in databases of its own."""

    def __init__(self, root, duck, connection, database, seconds):
        self.root, self.duck, self.connection, self.database = root, duck, connection, database
        self.seconds, self.made = seconds, 0

    def check_bytes(self, case):
        """The outcome of a case whose bytes are in question: it is asked twice."""
        statement = case.pair()[0]
        text = statement.replace("'", "''")
        try:
            for _ in range(2):
                self.connection.rows(statement)
            rows = self.connection.rows(
                "SELECT query, data_scanned_bytes, estimate_min_bytes, estimate_max_bytes, estimate_confidence, timing_dependent"
                f" FROM system.queries WHERE query = '{text}' AND state = 'SUCCEEDED' ORDER BY query_id DESC LIMIT 2"
            )
        except Refused:
            return Outcome(AGREE)
        found = byte_faults(rows)
        return Outcome(DIFFERENT, "bytes", found[0][1], statements=(statement,)) if found else Outcome(AGREE)

    def outcome(self, case, kind):
        """The outcome of a case by the means that find this kind."""
        return self.check_bytes(case) if kind == "bytes" else Judge(self.connection, self.duck).check(case)

    def still(self, case, wanted):
        """The outcome, if it is the same kind of difference."""
        try:
            outcome = self.outcome(case, wanted[0])
        except (RecursionError, IndexError, KeyError, AttributeError, TypeError):
            # A tree that cannot be written is no case.
            return None
        return outcome if outcome.status == DIFFERENT and code_of(outcome) == wanted else None

    def query(self, case, outcome):
        """The smallest case that was found, and its outcome."""
        wanted, end = code_of(outcome), time.monotonic() + self.seconds
        shrunk = True
        while shrunk and time.monotonic() < end:
            shrunk = False
            seen = set()
            for smaller in syntax.smaller(case):
                text = str(smaller.pair())
                if text in seen or size(smaller) > size(case):
                    continue
                if size(smaller) == size(case) and len(text) >= len(str(case.pair())):
                    continue
                seen.add(text)
                found = self.still(smaller, wanted)
                if found:
                    case, outcome, shrunk = smaller, found, True
                    break
                if time.monotonic() > end:
                    break
        return case, outcome

    # --- Data

    def move_to(self, tables, forms):
        """Writes tables into a new database and makes that the one to ask."""
        self.made += 1
        database = f"{self.database}_m{self.made}"
        self.connection.rows(f"CREATE DATABASE {database}")
        self.connection.rows(f"USE {database}")
        for table in tables:
            for form in sorted({form for name, form in forms if name == table.name} | {"plain"}):
                for statement in files.write(table, form, self.root / database):
                    self.connection.rows(statement)
        self.duck.load(tables)

    def data(self, case, outcome, tables):
        """The smallest tables that were found: `(tables, outcome)`."""
        wanted, end = code_of(outcome), time.monotonic() + self.seconds
        forms = used_tables(case)
        names = {name for name, _ in forms}
        tables = [table for table in tables if table.name in names]
        shrunk = True
        while shrunk and time.monotonic() < end:
            shrunk = False
            for smaller in smaller_tables(tables):
                if time.monotonic() > end:
                    break
                try:
                    self.move_to(smaller, forms)
                except (Refused, ValueError, OSError):
                    continue
                found = self.still(case, wanted)
                if found:
                    tables, outcome, shrunk = smaller, found, True
                    break
        self.move_to(tables, forms)
        return tables, outcome

    def as_values(self, case, outcome, tables):
        """The case over VALUES instead of tables, where that shows the difference too: `(case, outcome)` or None."""
        if outcome.kind == "bytes":
            return None
        try:
            other = with_values(case, {table.name: table for table in tables})
        except KeyError:
            return None
        found = self.still(other, code_of(outcome))
        return self.query(other, found) if found else None


def smaller_tables(tables):
    """All lists of tables that are one step smaller, large steps first."""
    for at, table in enumerate(tables):
        for other in smaller_table(table):
            yield tables[:at] + [other] + tables[at + 1 :]


def smaller_table(table):
    """Tables with fewer files, rows, columns or peculiarities."""
    if table.empty_partition:
        yield dataclasses.replace(table, empty_partition=False)
    for at in range(len(table.files) if len(table.files) > 1 else 0):
        yield dataclasses.replace(table, files=table.files[:at] + table.files[at + 1 :])
    if len(table.files) > 1:
        plan = table.files[0].plan
        yield dataclasses.replace(
            table, files=(File(tuple(table.rows), dataclasses.replace(plan, leave_out=())),)
        )
    for at, file in enumerate(table.files):
        rows = file.rows
        step = len(rows) // 2
        while step:
            for start in range(0, len(rows), step):
                less = dataclasses.replace(file, rows=rows[:start] + rows[start + step :])
                yield dataclasses.replace(table, files=table.files[:at] + (less,) + table.files[at + 1 :])
            step //= 2
    for column in table.columns[1:]:
        if len(table.columns) > 2 and not (table.partitioned and column is table.columns[-1]):
            yield dataclasses.replace(table, columns=tuple(c for c in table.columns if c is not column))
    for at, file in enumerate(table.files):
        for name, value in dataclasses.asdict(FilePlan()).items():
            if getattr(file.plan, name) != value:
                plan = dataclasses.replace(file.plan, **{name: value})
                yield dataclasses.replace(
                    table,
                    files=table.files[:at] + (dataclasses.replace(file, plan=plan),) + table.files[at + 1 :],
                )


def cell(type, value):
    """A value as an expression of a type."""
    if value is None:
        return Expression(type, f"CAST(NULL AS {type})")
    if type in (INTEGER, BIGINT, DECIMAL):
        return Expression(type, f"CAST({value} AS {type})")
    if type == DOUBLE:
        return Expression(type, f"CAST('{files.plain_text(value)}' AS double)")
    if type == VARCHAR:
        return Expression(type, f"'{value}'")
    text = files.plain_text(value)
    return Expression(type, {DATE: f"DATE '{text}'", TIMESTAMP: f"TIMESTAMP '{text}'"}.get(type, text))


def with_values(node, tables):
    """A tree in which tables are their rows."""
    if node is None:
        return None
    if isinstance(node, Table):
        table = tables[node.name]
        columns = [column for column in table.columns if column.type not in NESTED]
        rows = [[cell(column.type, row[column.name]) for column in columns] for row in table.rows]
        if not rows:
            raise KeyError(f"{table.name} has no rows")
        return Rows(rows, node.alias, tuple(column.name for column in columns))
    return node.with_kids(tuple(with_values(kid, tables) for kid in node.kids()))
