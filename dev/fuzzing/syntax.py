"""The tree of a query: how it is written in Trino's SQL and in DuckDB's, and how it can be made smaller.

A node's `label` names the construct that it is an instance of. `kids` and `with_kids` let the minimiser walk
and rebuild any tree; `simpler` lists what may stand in a node's place.
"""

import copy
import dataclasses
import re

INTEGER, BIGINT, DOUBLE, DECIMAL = "integer", "bigint", "double", "decimal(12,2)"
VARCHAR, BOOLEAN, DATE, TIMESTAMP = "varchar", "boolean", "date", "timestamp"
NUMBERS = (INTEGER, BIGINT, DOUBLE, DECIMAL)
SCALARS = NUMBERS + (VARCHAR, BOOLEAN, DATE, TIMESTAMP)

# The smallest values that a minimised expression may become.
PLAIN = {
    INTEGER: ("0", "1"),
    BIGINT: ("CAST(0 AS bigint)",),
    DOUBLE: ("1E0",),
    DECIMAL: ("1.00",),
    VARCHAR: ("'a'",),
    BOOLEAN: ("true", "false"),
    DATE: ("DATE '2024-01-01'",),
    TIMESTAMP: ("TIMESTAMP '2024-01-01 00:00:00.000'",),
}


@dataclasses.dataclass(frozen=True)
class Writing:
    """For whom a query is written. `other_form` writes subqueries for DuckDB in a second way, to be sure of it."""

    duckdb: bool = False
    other_form: bool = False
    # The form in which the files of every table are to be read, whatever the query says.
    form: str | None = None


class Node:
    """A part of a query."""

    label = None

    def kids(self):
        """The nodes below, None where an optional one is missing."""
        return ()

    def with_kids(self, kids):
        """A copy with other nodes below."""
        return self

    def simpler(self):
        """What may stand in this node's place; each is smaller."""
        return ()

    def changed(self, **fields):
        """A copy with some fields replaced."""
        other = copy.copy(self)
        for name, value in fields.items():
            setattr(other, name, value)
        return other


def walk(node):
    """The node and all below it."""
    if node is not None:
        yield node
        for kid in node.kids():
            yield from walk(kid)


def labels(node):
    """The constructs of a tree."""
    return sorted({part.label for part in walk(node) if part.label})


def size(node):
    """How many nodes a tree has."""
    return sum(1 for _ in walk(node))


def smaller(node):
    """All trees that are one step smaller, those with the largest steps first."""
    yield from node.simpler()
    kids = node.kids()
    for at, kid in enumerate(kids):
        if kid is not None:
            for other in smaller(kid):
                yield node.with_kids(kids[:at] + (other,) + kids[at + 1 :])


class Expression(Node):
    """A value: a text with `$0`, `$1` ... for its parts, `$*` for all of them, and DuckDB's text where it differs."""

    def __init__(self, type, text, parts=(), duckdb=None, label=None, nan=None, alias=None, other=None):
        self.type, self.text, self.parts = type, text, tuple(parts)
        self.duckdb, self.other, self.label = duckdb or text, other, label
        self.nan = any(getattr(p, "nan", False) for p in self.parts) if nan is None else nan
        self.alias = alias

    def kids(self):
        return self.parts

    def with_kids(self, kids):
        return self.changed(parts=tuple(kids))

    def simpler(self):
        for part in self.parts:
            if isinstance(part, Expression) and part.type == self.type:
                yield part
        if self.parts or self.alias:
            for text in PLAIN.get(self.type, ()):
                yield Expression(self.type, text)
        if self.parts:
            yield Expression(self.type, f"CAST(NULL AS {self.type})")

    def sql(self, to):
        text = self.text
        if to.duckdb:
            text = self.other if to.other_form and self.other else self.duckdb

        def part(found):
            which = found.group(1)
            if which == "*":
                return ", ".join(p.sql(to) for p in self.parts)
            return self.parts[int(which)].sql(to)

        return re.sub(r"\$(\*|\d)", part, text)


class Table(Node):
    """A table of the lake; `form` says in which of its forms its files are read."""

    def __init__(self, name, form, alias):
        self.name, self.form, self.alias = name, form, alias
        self.label = None if form in ("plain", "files") else "form-" + form

    def simpler(self):
        return () if self.form == "plain" else (self.changed(form="plain", label=None),)

    def sql(self, to):
        name = self.name if to.duckdb else f"{self.name}_{to.form or self.form}"
        return f"{name} {self.alias}"


class CommonTable(Node):
    """A reference to a query of WITH."""

    def __init__(self, name, alias):
        self.name, self.alias = name, alias

    def sql(self, to):
        return f"{self.name} {self.alias}"


class Derived(Node):
    """A query in FROM; LATERAL where it uses relations to its left."""

    def __init__(self, query, alias, lateral=False):
        self.query, self.alias, self.lateral = query, alias, lateral
        self.label = "lateral" if lateral else None

    def kids(self):
        return (self.query,)

    def with_kids(self, kids):
        return self.changed(query=kids[0])

    def simpler(self):
        source = getattr(self.query, "source", None)
        if isinstance(source, (Table, Derived, Rows)):
            yield source.changed(alias=self.alias)

    def sql(self, to):
        return f"{'LATERAL ' if self.lateral else ''}({self.query.sql(to)}) {self.alias}"


class Rows(Node):
    """VALUES in FROM."""

    label = "values"

    def __init__(self, rows, alias, names):
        self.rows, self.alias, self.names = tuple(tuple(row) for row in rows), alias, names

    def kids(self):
        return tuple(cell for row in self.rows for cell in row)

    def with_kids(self, kids):
        width = len(self.names)
        return self.changed(rows=tuple(tuple(kids[at : at + width]) for at in range(0, len(kids), width)))

    def simpler(self):
        step = len(self.rows) // 2
        while step:
            for start in range(0, len(self.rows), step):
                rows = self.rows[:start] + self.rows[start + step :]
                if rows:
                    yield self.changed(rows=rows)
            step //= 2
        step = len(self.names) // 2
        while step:
            for at in range(0, len(self.names), step):
                names = self.names[:at] + self.names[at + step :]
                if names:
                    rows = tuple(row[:at] + row[at + step :] for row in self.rows)
                    yield self.changed(rows=rows, names=names)
            step //= 2

    def sql(self, to):
        rows = ", ".join("(" + ", ".join(cell.sql(to) for cell in row) + ")" for row in self.rows)
        return f"(VALUES {rows}) {self.alias}({', '.join(self.names)})"


class Unnest(Node):
    """UNNEST of an array or map of the relation to its left. `outer` keeps rows without entries."""

    label = "unnest"

    def __init__(self, left, argument, alias, names, map=False, ordinality=False, outer=False):
        self.left, self.argument, self.alias, self.names = left, argument, alias, names
        self.map, self.ordinality, self.outer = map, ordinality, outer

    def kids(self):
        return (self.left, self.argument)

    def with_kids(self, kids):
        return self.changed(left=kids[0], argument=kids[1])

    def simpler(self):
        yield self.left
        if self.outer:
            yield self.changed(outer=False)
        if self.ordinality:
            yield self.changed(ordinality=False, names=self.names[:-1])

    def sql(self, to):
        join, condition = ("LEFT JOIN", " ON true") if self.outer else ("CROSS JOIN", "")
        argument, alias = self.argument.sql(to), f"{self.alias}({', '.join(self.names)})"
        if not to.duckdb:
            words = " WITH ORDINALITY" if self.ordinality else ""
            return f"{self.left.sql(to)} {join} UNNEST({argument}){words} AS {alias}{condition}"
        columns = [f"UNNEST(map_keys({argument}))", f"UNNEST(map_values({argument}))"]
        columns = columns if self.map else [f"UNNEST({argument})"]
        if self.ordinality:
            counted = f"map_keys({argument})" if self.map else argument
            columns.append(f"UNNEST(range(1, CAST(cardinality_of({counted}) AS bigint) + 1))")
        return f"{self.left.sql(to)} {join} LATERAL (SELECT {', '.join(columns)}) AS {alias}{condition}"


class Join(Node):
    """Two relations: `kind` is INNER, LEFT, RIGHT, FULL or CROSS; ON a condition or USING columns."""

    def __init__(self, kind, left, right, on=None, using=(), label=None):
        self.kind, self.left, self.right, self.on, self.using = kind, left, right, on, tuple(using)
        self.label = label or f"{kind.lower()}-join"

    def kids(self):
        return (self.left, self.right, self.on)

    def with_kids(self, kids):
        return self.changed(left=kids[0], right=kids[1], on=kids[2])

    def simpler(self):
        yield self.left
        yield self.right
        if self.kind in ("LEFT", "RIGHT", "FULL"):
            yield self.changed(kind="INNER", label="inner-join")
        if self.kind == "FULL":
            yield self.changed(kind="LEFT", label="left-join")

    def sql(self, to):
        left, right = self.left.sql(to), self.right.sql(to)
        if self.kind == "CROSS":
            return f"{left} CROSS JOIN {right}"
        if self.using:
            return f"{left} {self.kind} JOIN {right} USING ({', '.join(self.using)})"
        if to.duckdb and self.kind == "LEFT" and any(isinstance(n, (Select, SetOperation)) for n in walk(self.on)):
            # DuckDB has no subquery in the condition of an outer join.
            inner = f"SELECT * FROM {right} WHERE {self.on.sql(to)}"
            return f"{left} LEFT JOIN LATERAL ({inner}) {self.right.alias} ON true"
        return f"{left} {self.kind} JOIN {right} ON {self.on.sql(to)}"


class Star(Node):
    """`*`; DuckDB has the columns in another order after USING, so it is told them."""

    label = "star"

    def __init__(self, columns):
        self.columns = tuple(columns)

    def simpler(self):
        return ()

    def sql(self, to):
        return ", ".join(self.columns) if to.duckdb else "*"


class Grouping(Node):
    """GROUP BY: `form` is plain, ordinals, rollup, cube or sets."""

    def __init__(self, form, keys, sets=()):
        self.form, self.keys, self.sets = form, tuple(keys), tuple(sets)
        self.label = {"plain": None, "ordinals": None, "sets": "grouping-sets"}.get(form, form)

    def kids(self):
        return self.keys

    def with_kids(self, kids):
        return self.changed(keys=tuple(kids))

    def simpler(self):
        if self.form != "plain":
            yield self.changed(form="plain", label=None)

    def sql(self, to):
        keys = [key.sql(to) for key in self.keys]
        if self.form == "ordinals":
            return ", ".join(str(at + 1) for at in range(len(keys)))
        if self.form == "sets":
            sets = ["(" + ", ".join(keys[at] for at in one) + ")" for one in self.sets]
            return f"GROUPING SETS ({', '.join(sets)})"
        text = ", ".join(keys)
        return text if self.form == "plain" else f"{self.form.upper()} ({text})"


class Sort(Node):
    """One entry of ORDER BY: an expression or the number of a column."""

    def __init__(self, key, descending=False, nulls=None):
        self.key, self.descending, self.nulls = key, descending, nulls

    def kids(self):
        return (self.key,) if isinstance(self.key, Node) else ()

    def with_kids(self, kids):
        return self.changed(key=kids[0]) if kids else self

    def simpler(self):
        if self.descending or self.nulls:
            yield self.changed(descending=False, nulls=None)

    def sql(self, to):
        text = self.key.sql(to) if isinstance(self.key, Node) else str(self.key)
        return text + (" DESC" if self.descending else "") + (f" NULLS {self.nulls}" if self.nulls else "")


class Select(Node):
    """SELECT ... FROM ... WHERE ... GROUP BY ... HAVING ... ORDER BY ... LIMIT."""

    def __init__(self, items, source=None, where=None, grouping=None, having=None, order=(), limit=None, distinct=False):
        self.items, self.source, self.where = tuple(items), source, where
        self.grouping, self.having, self.order = grouping, having, tuple(order)
        self.limit, self.distinct = limit, distinct
        # The names of the items; a Star has none.
        self.names = tuple(f"c{at}" for at in range(len(self.items)))
        self.label = None

    def kids(self):
        return self.items + self.order + (self.source, self.where, self.grouping, self.having)

    def with_kids(self, kids):
        items, order = kids[: len(self.items)], kids[len(self.items) : len(self.items) + len(self.order)]
        source, where, grouping, having = kids[-4:]
        return self.changed(items=items, order=order, source=source, where=where, grouping=grouping, having=having)

    def simpler(self):
        if self.limit is not None:
            yield self.changed(limit=None)
        if self.order:
            yield self.changed(order=(), limit=None)
        if self.having is not None:
            yield self.changed(having=None)
        if self.where is not None:
            yield self.changed(where=None)
        if self.distinct:
            yield self.changed(distinct=False)
        if self.source is not None and not any(e.alias for i in self.items for e in walk(i) if isinstance(e, Expression)):
            yield self.changed(source=None, where=None)
        if len(self.items) > 1:
            for at in range(len(self.items)):
                yield self.without_item(at)

    def without_item(self, at):
        """A copy that lacks one column, whose order is by the columns that are left."""
        items, names = self.items[:at] + self.items[at + 1 :], self.names[:at] + self.names[at + 1 :]
        order = self.order
        if any(not isinstance(sort.key, Node) for sort in order):
            order = tuple(sort.changed(key=number + 1) for number, sort in enumerate(order[: len(items)]))
        grouping = self.grouping
        if grouping is not None and at < len(grouping.keys) and len(grouping.keys) > 1 and grouping.form != "sets":
            grouping = grouping.changed(keys=grouping.keys[:at] + grouping.keys[at + 1 :])
        return self.changed(items=items, names=names, order=order, grouping=grouping)

    def sql(self, to):
        items = [
            item.sql(to) if isinstance(item, Star) else f"{item.sql(to)} AS {name}"
            for item, name in zip(self.items, self.names)
        ]
        text = f"SELECT {'DISTINCT ' if self.distinct else ''}{', '.join(items)}"
        for word, part in (
            ("FROM", self.source),
            ("WHERE", self.where),
            ("GROUP BY", self.grouping),
            ("HAVING", self.having),
        ):
            if part is not None:
                text += f" {word} {part.sql(to)}"
        return text + tail(self, to)


class SetOperation(Node):
    """UNION, INTERSECT or EXCEPT, with or without ALL."""

    def __init__(self, operator, left, right, order=(), limit=None):
        self.operator, self.left, self.right, self.order, self.limit = operator, left, right, tuple(order), limit
        self.label = operator.lower().replace(" ", "-")
        self.names = left.names

    def kids(self):
        return (self.left, self.right) + self.order

    def with_kids(self, kids):
        return self.changed(left=kids[0], right=kids[1], order=kids[2:])

    def simpler(self):
        yield self.left
        yield self.right
        if self.limit is not None:
            yield self.changed(limit=None)
        if self.order:
            yield self.changed(order=(), limit=None)
        for at in range(len(self.names) if len(self.names) > 1 else 0):
            if all(isinstance(side, Select) and len(side.items) > 1 for side in (self.left, self.right)):
                left, right = self.left.without_item(at), self.right.without_item(at)
                yield self.changed(left=left, right=right, order=(), limit=None, names=left.names)

    def sql(self, to):
        return f"({self.left.sql(to)}) {self.operator} ({self.right.sql(to)})" + tail(self, to)


class With(Node):
    """WITH name AS (query), ... in front of a query."""

    label = "cte"

    def __init__(self, named, body):
        self.named, self.body = tuple(named), body

    @property
    def names(self):
        """The columns of the body."""
        return self.body.names

    @property
    def order(self):
        """The order of the body."""
        return getattr(self.body, "order", ())

    def kids(self):
        return tuple(query for _, query in self.named) + (self.body,)

    def with_kids(self, kids):
        names = [name for name, _ in self.named]
        return self.changed(named=tuple(zip(names, kids[:-1])), body=kids[-1])

    def simpler(self):
        yield self.body
        for at, (name, query) in enumerate(self.named):
            rest = self.named[:at] + self.named[at + 1 :]
            body = inlined(self.body, name, query)
            rest = rest[:at] + tuple((other, inlined(text, name, query)) for other, text in rest[at:])
            yield self.changed(named=rest, body=body) if rest else body

    def sql(self, to):
        named = ", ".join(f"{name} AS ({query.sql(to)})" for name, query in self.named)
        return f"WITH {named} {self.body.sql(to)}"


def tail(query, to):
    """ORDER BY and LIMIT."""
    text = f" ORDER BY {', '.join(sort.sql(to) for sort in query.order)}" if query.order else ""
    return text + (f" LIMIT {query.limit}" if query.limit is not None else "")


def inlined(node, name, query):
    """A tree in which references to a query of WITH are that query."""
    if node is None:
        return None
    if isinstance(node, CommonTable) and node.name == name:
        return Derived(query, node.alias)
    if isinstance(node, With) and any(name == other for other, _ in node.named):
        return node
    return node.with_kids(tuple(inlined(kid, name, query) for kid in node.kids()))
