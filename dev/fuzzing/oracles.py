"""Cases and how they are judged: DuckDB's answer, the same rows in three parts, the same count by another plan,
the same rows in other files, the same query again.
"""

import dataclasses
import re

from fuzzing import answers
from fuzzing.engines import Refused
from fuzzing.queries import Queries
from fuzzing.relations import Derived, Table
from fuzzing.scope import Scope
from fuzzing.syntax import (
    BIGINT,
    BOOLEAN,
    Expression,
    INTEGER,
    Node,
    Select,
    SetOperation,
    VARCHAR,
    Writing,
    walk,
)

OWLAKE, DUCKDB, OTHER_FORM = Writing(), Writing(duckdb=True), Writing(duckdb=True, other_form=True)
PLAIN_FILES = Writing(form="plain")

# What no user should read.
INSIDE = re.compile(
    r"Physical plan does not support|Ident ?\{|sqltorel|__datafusion|__correlated|__scalar_sq|__always_true|Arrow error"
    r"|Expr\(|column1|null_aware|OuterReferenceColumn|ScalarSubquery|LogicalPlan|_sq_\d|subquery_\d"
    r"|a file cannot be read|of this scan|SchemaError|DataFusion|internal error|This was likely|panick"
)
# Errors of single rows: no generated expression can have one, in the order that Trino evaluates.
OF_ROWS = {
    "DIVISION_BY_ZERO",
    "INVALID_CAST_ARGUMENT",
    "SUBQUERY_MULTIPLE_ROWS",
    "INVALID_FUNCTION_ARGUMENT",
    "HIVE_BAD_DATA",
}

AGREE, REFUSED, NO_ORACLE, UNSURE, DIFFERENT = "agree", "refused", "no oracle", "oracle unsure", "different"


@dataclasses.dataclass
class Outcome:
    """What came of a case. `kind` says what is different: wrong, false error, internal, words, bytes."""

    status: str
    kind: str = ""
    detail: str = ""
    ours: str = ""
    theirs: str = ""
    statements: tuple = ()


class Asked(Node):
    """A query that DuckDB is asked too."""

    oracle = "duckdb"

    def __init__(self, query):
        self.query = query

    def kids(self):
        return (self.query,)

    def with_kids(self, kids):
        return self.changed(query=kids[0])

    def pair(self):
        """The statements that have to agree; None stands for DuckDB's."""
        return [self.query.sql(OWLAKE)]

    @property
    def ordered(self):
        """Whether the order of rows is part of the answer."""
        return bool(getattr(self.query, "order", ()))


class InForms(Asked):
    """The files as they are against one plain file without statistics."""

    oracle = "forms"

    def pair(self):
        return [self.query.sql(OWLAKE), self.query.sql(PLAIN_FILES)]


class Repeated(Asked):
    """The same query twice."""

    oracle = "repeat"

    def pair(self):
        return [self.query.sql(OWLAKE)] * 2


class Parted(Node):
    """Ternary partitioning: the rows are those where a condition is true, false and unknown."""

    oracle = "tlp"
    ordered = False

    def __init__(self, items, source, condition, merged=None):
        self.items, self.source, self.condition, self.merged = tuple(items), source, condition, merged

    def kids(self):
        return self.items + (self.source, self.condition)

    def with_kids(self, kids):
        return self.changed(items=kids[:-2], source=kids[-2], condition=kids[-1])

    def simpler(self):
        for at in range(len(self.items) if len(self.items) > 1 else 0):
            merged = self.merged and self.merged[:at] + self.merged[at + 1 :]
            yield self.changed(items=self.items[:at] + self.items[at + 1 :], merged=merged)

    def pair(self):
        opposite = Expression(BOOLEAN, "(NOT $0)", (self.condition,))
        unknown = Expression(BOOLEAN, "($0 IS NULL)", (self.condition,))
        parts = [Select(self.items, self.source, where) for where in (self.condition, opposite, unknown)]
        union = SetOperation("UNION ALL", SetOperation("UNION ALL", parts[0], parts[1]), parts[2])
        if self.merged:
            names = zip(self.merged, parts[0].names)
            items = [Expression(BIGINT, f"{name}(q_q.{column})") for name, column in names]
            union = Select(items, Derived(union, "q_q"))
        return [Select(self.items, self.source).sql(OWLAKE), union.sql(OWLAKE)]


class Counted(Node):
    """NoREC: the rows that a filter leaves, and the rows for which its condition is computed as true."""

    oracle = "norec"
    ordered = False

    def __init__(self, source, condition):
        self.source, self.condition = source, condition

    def kids(self):
        return (self.source, self.condition)

    def with_kids(self, kids):
        return self.changed(source=kids[0], condition=kids[1])

    def pair(self):
        count = Expression(BIGINT, "count(*)")
        computed = Derived(Select([self.condition], self.source), "q_q")
        counted = Select([Expression(BIGINT, "count_if(q_q.c0)")], computed)
        return [Select([count], self.source, self.condition).sql(OWLAKE), counted.sql(OWLAKE)]


def make_case(dice, tables):
    """A random case over the tables."""
    queries = Queries(dice, tables)
    choices = [
        (70, "duckdb", None),
        (10, "tlp", None),
        (8, "norec", None),
        (7, "forms", InForms),
        (5, "repeat", Repeated),
    ]
    oracle, made = dice.among(choices)
    if oracle == "duckdb":
        return Asked(queries.query())
    if made:
        return made(queries.query())
    source, relations = queries.source(None, 1)
    scope = Scope(relations)
    condition = queries.condition(scope, 3)
    if oracle == "norec":
        return Counted(source, condition)
    if dice.random() < 0.4:
        columns = [queries.leaf(type, scope) for type in (INTEGER, VARCHAR)]
        items = [Expression(BIGINT, "count(*)")] + [Expression(c.type, "max($0)", (c,)) for c in columns]
        numbers = [leaf for leaf in scope.own if leaf.nan]
        if numbers:
            items.append(Expression("double", "min($0)", (dice.choice(numbers),)))
        return Parted(items, source, condition, ("sum", "max", "max", "min"))
    return Parted(queries.scalar_items(scope, dice.randint(1, 3), 1), source, condition)


class Judge:
    """Asks both engines and compares."""

    def __init__(self, connection, duck):
        self.connection, self.duck = connection, duck

    def check(self, case):
        """The outcome of a case."""
        statements = case.pair()
        found = []
        for statement in statements:
            try:
                found.append(self.connection.rows(statement))
            except Refused as refused:
                return self.refused(case, statement, refused)
        if case.oracle == "duckdb":
            return self.against_duckdb(case, found[0], statements)
        for other, statement in zip(found[1:], statements[1:]):
            differs = answers.difference(found[0], other, case.ordered)
            if differs:
                shown = answers.shown(found[0]), answers.shown(other)
                return Outcome(DIFFERENT, "wrong", differs, *shown, (statements[0], statement))
        return Outcome(AGREE)

    def against_duckdb(self, case, ours, statements):
        """Compares with DuckDB; where that has two opinions, it is no oracle."""
        try:
            theirs = self.duck.rows(case.query.sql(DUCKDB))
        except Refused as refused:
            return Outcome(NO_ORACLE, detail=str(refused))
        differs = answers.difference(ours, theirs, case.ordered)
        if differs is None and isinstance(case.query, SetOperation):
            # A common type that is too narrow changes values, but not always those that are there.
            kinds, wanted = self.connection.families, self.duck.families(case.query.sql(DUCKDB))
            if kinds != wanted:
                shown = f"  {kinds}", f"  {wanted}"
                return Outcome(
                    DIFFERENT, "wrong", "other types", *shown, (statements[0], case.query.sql(DUCKDB))
                )
        if differs is None:
            return Outcome(AGREE)
        try:
            again = self.duck.rows(case.query.sql(OTHER_FORM))
        except Refused:
            again = theirs
        if answers.difference(again, theirs, case.ordered):
            return Outcome(UNSURE, detail="DuckDB has two answers")
        shown = answers.shown(ours), answers.shown(theirs)
        return Outcome(DIFFERENT, "wrong", differs, *shown, (statements[0], case.query.sql(DUCKDB)))

    def refused(self, case, statement, refused):
        """A refusal by name is none of our business; anything else is a failure."""
        text = str(refused)
        if refused.code in ("GENERIC_INTERNAL_ERROR", "NO_CODE"):
            return Outcome(DIFFERENT, "internal", text, statements=(statement,))
        if INSIDE.search(text):
            return Outcome(DIFFERENT, "words", text, statements=(statement,))
        if refused.code in OF_ROWS:
            if case.oracle == "duckdb":
                try:
                    self.duck.rows(case.query.sql(DUCKDB))
                except Refused:
                    return Outcome(REFUSED, detail=text)
            return Outcome(DIFFERENT, "false error", text, statements=(statement,))
        return Outcome(REFUSED, detail=text)


LEDGER = (
    "SELECT query, data_scanned_bytes, estimate_min_bytes, estimate_max_bytes, estimate_confidence, timing_dependent "
    "FROM system.queries WHERE \"database\" = '{database}' AND state = 'SUCCEEDED' AND estimate_confidence IS NOT NULL"
)


def byte_faults(rows):
    """Queries that scanned other than was said: `(query, detail)`."""
    seen, found = {}, []
    for query, scanned, least, most, confidence, timing in rows:
        if not query.startswith(("SELECT", "WITH", "(")) or "system.queries" in query:
            continue
        if confidence == "exact" and scanned != most:
            found.append((query, f"exact {most}, scanned {scanned}"))
        elif confidence != "heuristic" and not least <= scanned <= most:
            found.append((query, f"{confidence} {least} to {most}, scanned {scanned}"))
        if timing:
            continue
        if seen.setdefault(query, scanned) != scanned:
            found.append((query, f"scanned {seen[query]}, then {scanned}"))
    return found


def used_tables(case):
    """The names and forms of the tables of a case."""
    return sorted({(node.name, node.form) for node in walk(case) if isinstance(node, Table)})
