"""What FROM may read, as nodes of a query's tree: tables, queries, VALUES, UNNEST, joins, WITH; and `*`."""

from fuzzing.syntax import Node, walk


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
        if to.duckdb and self.kind == "LEFT" and any(part.is_query for part in walk(self.on)):
            # DuckDB has no subquery in the condition of an outer join.
            inner = f"SELECT * FROM {right} WHERE {self.on.sql(to)}"
            return f"{left} LEFT JOIN LATERAL ({inner}) {self.right.alias} ON true"
        return f"{left} {self.kind} JOIN {right} ON {self.on.sql(to)}"


class Star(Node):
    """`*`; DuckDB has the columns in another order after USING, so it is told them."""

    label = "star"
    is_star = True

    def __init__(self, columns):
        self.columns = tuple(columns)

    def simpler(self):
        return ()

    def sql(self, to):
        return ", ".join(self.columns) if to.duckdb else "*"


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


def inlined(node, name, query):
    """A tree in which references to a query of WITH are that query."""
    if node is None:
        return None
    if isinstance(node, CommonTable) and node.name == name:
        return Derived(query, node.alias)
    if isinstance(node, With) and any(name == other for other, _ in node.named):
        return node
    return node.with_kids(tuple(inlined(kid, name, query) for kid in node.kids()))
