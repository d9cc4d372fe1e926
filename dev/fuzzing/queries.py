"""Random queries: relations, joins, grouping, windows, set operations, WITH."""

from fuzzing.aggregates import Aggregates
from fuzzing.expressions import Expressions, both, compare
from fuzzing.relations import CommonTable, Derived, Join, Star, Table, With
from fuzzing.schema import Column, NESTED
from fuzzing.scope import Relation, Scope, result_columns
from fuzzing.sources import Sources
from fuzzing.subqueries import Subqueries
from fuzzing.syntax import (
    BIGINT,
    DATE,
    DECIMAL,
    DOUBLE,
    Expression,
    Grouping,
    INTEGER,
    SCALARS,
    Select,
    SetOperation,
    Sort,
    TIMESTAMP,
    VARCHAR,
)


class Queries(Expressions, Subqueries, Sources, Aggregates):
    """One random query over the tables of a data set."""

    def __init__(self, dice, tables):
        self.dice, self.tables = dice, tables
        self.levels, self.aliases = 0, 0
        # Queries of WITH that may be named: name, columns.
        self.common = []

    def scalar_items(self, scope, count, depth=2):
        """Expressions for a select list."""
        inner = scope.at("select")
        return [
            self.expression(self.dice.choice(SCALARS), inner, self.dice.randint(0, depth))
            for _ in range(count)
        ]

    def plain(self, outer, depth):
        """SELECT ... FROM ... WHERE."""
        dice = self.dice
        source, relations = self.source(outer, depth)
        scope = Scope(relations, outer)
        where = self.condition(scope, 3) if dice.random() < 0.65 else None
        items = self.scalar_items(scope, dice.randint(1, 4))
        nested = [leaf for type in NESTED for leaf, _ in scope.nested(type)]
        if nested and depth == 2 and dice.flip(0.3, "nested-result"):
            return Select(items + [dice.choice(nested)], source, where)
        return Select(items, source, where, distinct=dice.flip(0.12, "distinct"))

    def grouped(self, outer, depth):
        """GROUP BY in every form, HAVING."""
        dice = self.dice
        source, relations = self.source(outer, depth)
        scope = Scope(relations, outer)
        where = self.condition(scope, 2) if dice.random() < 0.5 else None
        leaves = {leaf.text: leaf for leaf in scope.own if not leaf.parts and leaf.type != DOUBLE}
        keys = [
            leaves[text]
            for text in dice.sample(sorted(leaves), min(len(leaves), dice.choice([0, 1, 1, 2, 2])))
        ]
        items = keys + [self.aggregate(dice.choice(SCALARS), scope) for _ in range(dice.randint(1, 3))]
        grouping = None
        if keys:
            choices = [
                (6, "group-by", "plain"),
                (2, "group-by", "ordinals"),
                (1, "rollup", "rollup"),
                (1, "cube", "cube"),
            ]
            form = dice.among(choices + [(1, "grouping-sets", "sets")])[1]
            sets = [
                tuple(sorted(dice.sample(range(len(keys)), dice.randint(0, len(keys)))))
                for _ in range(dice.randint(1, 3))
            ]
            # DuckDB forgets an empty set that is there twice.
            sets = list(dict.fromkeys(sets))
            grouping = Grouping(form, keys, sets if form == "sets" else ())
        select = Select(items, source, where, grouping)
        if dice.flip(0.35, "having"):
            select.having = self.having(
                scope, keys if grouping is None or grouping.form in ("plain", "ordinals") else []
            )
        if keys and grouping.form == "sets":
            # A key that is in no set cannot be selected.
            used = {at for one in sets for at in one}
            select.items = tuple(item for at, item in enumerate(items) if at >= len(keys) or at in used)
            select.names = tuple(f"c{at}" for at in range(len(select.items)))
        return select

    def windows(self, outer, depth):
        """Window functions over one table, whose rows have an order without ties."""
        dice = self.dice
        source, relations = self.source(outer, 0, single=True)
        scope = Scope(relations, outer)
        where = self.condition(scope, 2) if dice.random() < 0.4 else None
        unique = scope.unique()
        items = [unique] if unique is not None else [self.leaf(INTEGER, scope)]
        return Select(items + [self.window(scope, unique) for _ in range(dice.randint(1, 3))], source, where)

    def filtered(self, outer, depth):
        """One table and conditions that its files' statistics decide; or its first rows by a column."""
        dice = self.dice
        source, relation = self.table(Scope([], outer))
        scope = Scope([relation], outer)
        where = self.filter(scope)
        if dice.random() < 0.3:
            where = both(where, self.filter(scope))
        leaves = [leaf for leaf in scope.own if leaf.type in SCALARS]
        items = [dice.choice(leaves) for _ in range(dice.randint(1, 3))]
        if dice.random() < 0.3:
            items = [self.aggregate(dice.choice(SCALARS), scope) for _ in range(2)]
            last = scope.own[-1]
            if dice.random() < 0.5 and not last.parts and not last.nan:
                # That of the partitions, where there are some.
                items.append(Expression(last.type, dice.choice(["max($0)", "min($0)"]), (last,)))
            return Select(items, source, where if dice.random() < 0.7 else None)
        return Select(items, source, where)

    def asked(self, outer, depth):
        """One table and one subquery, where its being NULL matters; or as a value."""
        dice = self.dice
        if not dice.on("subqueries"):
            return self.filtered(outer, depth)
        source, relation = self.table(Scope([], outer))
        scope = Scope([relation], outer)
        items = [self.leaf(dice.choice(SCALARS), scope) for _ in range(2)]
        place = "select" if dice.flip(0.25, "subquery-in-select") else "where"
        inner = scope.at(place)
        if place == "select" and dice.random() < 0.4:
            value = self.scalar_subquery(dice.choice((INTEGER, BIGINT, VARCHAR)), inner, 0)
        else:
            value = self.in_context(dice.among(self.subquery_conditions())[1](inner, 0), scope)
        if place == "select":
            return Select(items + [value], source, self.filter(scope) if dice.random() < 0.3 else None)
        return Select(items, source, value)

    def using(self, outer, depth):
        """JOIN ... USING, with merged columns and `*`."""
        dice = self.dice
        (left, first), (right, second) = self.table(None), self.table(None)
        first.bare = second.bare = False
        shared = [
            c.name
            for c in first.columns
            if not c.nan
            and c.type not in NESTED
            and any(c.name == o.name and c.type == o.type for o in second.columns)
        ]
        if not shared:
            return self.plain(outer, depth)
        names = tuple(dice.sample(shared, min(len(shared), dice.choice([1, 1, 2]))))
        kind = dice.among(
            [
                (2, "inner-join", "INNER"),
                (2, "left-join", "LEFT"),
                (2, "right-join", "RIGHT"),
                (3, "full-join", "FULL"),
            ]
        )[1]
        merged = {c.name: Expression(c.type, c.name, alias="using") for c in first.columns if c.name in names}
        rest = [c for c in Scope([first, second]).own if c.text.split(".")[-1] not in names]
        scope = Scope([], None, leaves=list(merged.values()) + rest)
        source = Join(kind, left, right, using=names, label="using")
        where = self.plain_condition(scope) if dice.random() < 0.5 else None
        if (
            depth == 2
            and dice.flip(0.25, "star")
            and not any(c.type in NESTED for c in first.columns + second.columns)
        ):
            columns = list(names) + [
                f"{r.alias}.{c.name}" for r in (first, second) for c in r.columns if c.name not in names
            ]
            return Select([Star(columns)], source, where)
        if dice.random() < 0.3:
            keys = list(merged.values())
            return Select(keys + [self.aggregate(BIGINT, scope)], source, where, Grouping("plain", keys))
        items = list(merged.values()) + [self.leaf(dice.choice(SCALARS), scope) for _ in range(2)]
        return Select(items, source, where)

    def sides(self, outer, depth, types):
        """A query with columns of these types, one side of a set operation."""
        dice = self.dice
        if dice.random() < 0.6:
            # Columns as they are have rows in common.
            source, relation = self.table(Scope([], outer))
            scope = Scope([relation], outer)
            return Select(
                [self.leaf(type, scope) for type in types],
                source,
                self.filter(scope) if dice.random() < 0.2 else None,
            )
        source, relations = self.source(outer, depth)
        scope = Scope(relations, outer)
        where = self.condition(scope, 2) if dice.random() < 0.5 else None
        return Select(
            [self.expression(type, scope.at("select"), dice.randint(0, 1)) for type in types], source, where
        )

    def set_operation(self, outer, depth):
        """UNION, INTERSECT, EXCEPT, with ALL or without, of columns whose types differ."""
        dice = self.dice
        left = [
            dice.choice(SCALARS[:5] + (DATE, INTEGER, TIMESTAMP)) for _ in range(dice.choice((1, 1, 2, 3)))
        ]
        if dice.random() < 0.3:
            left = [INTEGER]
        right = list(left)
        if dice.flip(0.4, "mixed-types"):
            right = [
                self.number_type() if type in (INTEGER, BIGINT, DOUBLE, DECIMAL) else type for type in left
            ]
        names = ["union", "union-all", "intersect", "intersect-all", "except", "except-all"]
        choices = [(1, name, name.upper().replace("-", " ")) for name in names]
        query = SetOperation(
            dice.among(choices)[1], self.sides(outer, depth, left), self.sides(outer, depth, right)
        )
        if dice.random() < 0.25:
            query = SetOperation(dice.among(choices)[1], query, self.sides(outer, 0, left))
        return query

    def labelled_union(self, outer, depth):
        """Parts with a constant label each, filtered by label: the shape of dashboards."""
        dice = self.dice
        parts = []
        for label in ("a", "b", "c")[: dice.randint(1, 3)]:
            source, relations = self.source(outer, 0)
            scope = Scope(relations, outer)
            where = self.plain_condition(scope) if dice.random() < 0.3 else None
            keys = [leaf for leaf in scope.own if not leaf.parts and leaf.type == INTEGER]
            form = dice.choice(["none", "none", "plain", "rollup", "cube"])
            grouping = None
            if form != "none" and keys and dice.on(form):
                grouping = Grouping(form, [dice.choice(keys)])
            value = dice.choice([self.aggregate(BIGINT, scope), Expression(BIGINT, "count(*)", nan=False)])
            select = Select([Expression(VARCHAR, f"'{label}'"), value], source, where, grouping)
            select.label = "labelled-part"
            parts.append(select)
        union = parts[0]
        for part in parts[1:]:
            union = SetOperation("UNION ALL", union, part)
        alias = self.alias()
        relation = Relation(alias, [Column("c0", VARCHAR), Column("c1", BIGINT)])
        scope = Scope([relation], outer)
        wanted = Expression(VARCHAR, dice.choice(["'a'", "'b'", "'d'"]))
        where = compare(dice.choice(["=", "=", "<>", ">"]), scope.own[0], wanted)
        if dice.flip(0.3, "literal-predicate"):
            where = self.literal_predicate(scope, 0)
        elif dice.random() < 0.3:
            where = both(where, self.condition(scope, 1))
        return Select(list(scope.own), Derived(union, alias), where)

    def simple(self, outer, depth):
        """A query without WITH."""
        choices = [
            (7, "plain-select", self.plain),
            (5, "filtered", self.filtered),
            (5, "asked", self.asked),
            (5, "aggregation", self.grouped),
            (2, "windows", self.windows),
            (2.5, "set-operations", self.set_operation),
            (1.2, "labelled-union", self.labelled_union),
        ]
        if not self.common and outer is None:
            choices.append((1.6, "using", self.using))
        return self.dice.among(choices)[1](outer, depth)

    def query(self):
        """A whole query: WITH, ORDER BY and LIMIT besides."""
        dice = self.dice
        named = []
        if dice.flip(0.15, "cte"):
            for at in range(dice.randint(1, 2)):
                made = self.simple(None, 0)
                if any(isinstance(item, Star) for item in getattr(made, "items", ())):
                    continue
                named.append((f"m{at}", made))
                self.common.append((f"m{at}", result_columns(made)))
        body = self.simple(None, 2)
        if named and dice.flip(0.2, "shadowed-name"):
            body = self.shadowed(body)
        body = self.in_order(body)
        return With(named, body) if named else body

    def shadowed(self, body):
        """The body beside a query that has a WITH of the same name."""
        alias, beside = self.alias(), self.alias()
        inner = Select([Expression(BIGINT, "CAST(5 AS bigint)")])
        nested = With(
            [("m0", inner)], Select([Expression(BIGINT, "m0.c0", alias="m0")], CommonTable("m0", "m0"))
        )
        if any(isinstance(item, Star) or item.type in NESTED for item in getattr(body, "items", ())):
            return body
        columns = [
            Expression(c.type, f"{alias}.{c.name}", nan=c.nan, alias=alias) for c in result_columns(body)
        ]
        last = Expression(BIGINT, f"{beside}.c0", alias=beside)
        return Select(columns + [last], Join("CROSS", Derived(body, alias), Derived(nested, beside)))

    def in_order(self, body):
        """ORDER BY all columns, so that LIMIT leaves nothing open; or by a subquery besides."""
        dice = self.dice
        if any(isinstance(item, Star) or item.type in NESTED for item in getattr(body, "items", ())):
            return body
        count = len(body.names)
        if dice.flip(0.3, "order-by"):
            ways = [
                (dice.random() < 0.4, dice.choice([None, None, None, "FIRST", "LAST"])) for _ in range(count)
            ]
            order = [Sort(at + 1, *way) for at, way in enumerate(ways)]
            if (
                isinstance(body, Select)
                and body.grouping is None
                and not body.distinct
                and dice.flip(0.25, "order-by-expression")
            ):
                order = self.first_by_expression(body, order)
            if isinstance(body, Select):
                # Whether -0 comes before 0 is not the same everywhere: here is none.
                items = [
                    Expression(i.type, "($0 + 0E0)", (i,)) if i.type == DOUBLE else i for i in body.items
                ]
                body = body.changed(items=tuple(items))
            elif any(column.type == DOUBLE for column in result_columns(body)):
                return body
            body = body.changed(order=tuple(order))
            if dice.flip(0.6, "limit"):
                body = body.changed(limit=dice.choice([0, 1, 2, 3, 5, 10]))
        elif dice.flip(0.05, "limit-all"):
            body = body.changed(limit=1000)
        return body

    def first_by_expression(self, body, order):
        """An expression or subquery before the columns; only over tables, whose names are known here."""
        if not isinstance(body.source, Table):
            return order
        table = next(t for t in self.tables if t.name == body.source.name)
        scope = Scope([Relation(body.source.alias, list(table.columns), True)], None, place="order-by")
        if any(
            "(" in item.text and item.text.startswith(("count", "sum", "max", "min", "avg", "bool"))
            for item in body.items
        ):
            return order
        key = self.expression(INTEGER, scope, 2)
        # A number alone would be that of a column.
        return [Sort(key, self.dice.random() < 0.5)] + order if key.parts or key.alias else order
