"""The tree of a query: how it is written in Trino's SQL and in DuckDB's, and how it can be made smaller.

A node's `label` names the construct that it is an instance of. `kids` and `with_kids` let the minimiser walk
and rebuild any tree; `simpler` lists what may stand in a node's place.
"""

import copy
import dataclasses
import re

INTEGER, BIGINT, DOUBLE, DECIMAL = "integer", "bigint", "double", "decimal(12,2)"
VARCHAR, BOOLEAN, DATE, TIMESTAMP = "varchar", "boolean", "date", "timestamp"
INTEGERS = (INTEGER, BIGINT)
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
    is_query = is_star = False

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

    is_query = True

    def __init__(
        self, items, source=None, where=None, grouping=None, having=None, order=(), limit=None, distinct=False
    ):
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
        return self.changed(
            items=items, order=order, source=source, where=where, grouping=grouping, having=having
        )

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
        if self.source is not None and not any(
            e.alias for i in self.items for e in walk(i) if isinstance(e, Expression)
        ):
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
        if (
            grouping is not None
            and at < len(grouping.keys)
            and len(grouping.keys) > 1
            and grouping.form != "sets"
        ):
            grouping = grouping.changed(keys=grouping.keys[:at] + grouping.keys[at + 1 :])
        return self.changed(items=items, names=names, order=order, grouping=grouping)

    def sql(self, to):
        items = [
            item.sql(to) if item.is_star else f"{item.sql(to)} AS {name}"
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

    is_query = True

    def __init__(self, operator, left, right, order=(), limit=None):
        self.operator, self.left, self.right, self.order, self.limit = (
            operator,
            left,
            right,
            tuple(order),
            limit,
        )
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


def tail(query, to):
    """ORDER BY and LIMIT."""
    text = f" ORDER BY {', '.join(sort.sql(to) for sort in query.order)}" if query.order else ""
    return text + (f" LIMIT {query.limit}" if query.limit is not None else "")
