"""Random relations for FROM, and joins of them. `Sources` is mixed with the rest in queries.py."""

from fuzzing.expressions import both, compare
from fuzzing.relations import CommonTable, Derived, Join, Rows, Table, Unnest
from fuzzing.schema import ARRAY, Column, MAP
from fuzzing.scope import Relation, Scope, result_columns
from fuzzing.syntax import BIGINT, BOOLEAN, DATE, DECIMAL, DOUBLE, Expression, INTEGER, INTEGERS, VARCHAR


class Sources:
    """Relations over the tables of a data set; `self.simple` makes the queries among them."""

    def alias(self):
        """An alias that no other relation has."""
        self.aliases += 1
        return f"r{self.aliases}"

    def table(self, scope):
        """A table, or a query of WITH, with an alias that hides one outside now and then."""
        dice = self.dice
        alias = self.alias()
        outside = sorted({leaf.alias for leaf in scope.visible() if leaf.alias}) if scope else []
        if outside and dice.flip(0.12, "hidden-alias"):
            alias = dice.choice(outside)
        if self.common and dice.random() < 0.5:
            name, columns = dice.choice(self.common)
            return CommonTable(name, alias), Relation(alias, columns)
        table = dice.choice(self.tables)
        form = dice.choice(table.forms) if dice.random() < 0.6 else "files"
        return Table(table.name, form, alias), Relation(alias, list(table.columns), True, dice.random() < 0.3)

    def values(self):
        """VALUES with two or three columns."""
        dice = self.dice
        types = dice.sample((INTEGER, BIGINT, VARCHAR, DOUBLE, DECIMAL, DATE), dice.randint(2, 3))
        names = ("k", "s", "n")[: len(types)]
        rows = []
        for _ in range(dice.randint(1, 4)):
            # One type for a column: a literal's own would differ between the engines.
            rows.append([Expression(type, f"CAST($0 AS {type})", (self.literal(type),)) for type in types])
        alias = self.alias()
        return Rows(rows, alias, names), Relation(
            alias, [Column(name, type) for name, type in zip(names, types)]
        )

    def relation(self, scope, depth):
        """A table, a query or VALUES."""
        choices = [(10, "table", "table"), (1.2, "values", "values")]
        if depth > 0:
            choices.append((3, "derived-table", "derived"))
        form = self.dice.among(choices)[1]
        if form == "table":
            return self.table(scope)
        if form == "values":
            return self.values()
        # A query in FROM sees what is around the whole query, not its neighbours.
        query = self.simple(scope.outer if scope else None, depth - 1)
        alias = self.alias()
        return Derived(query, alias), Relation(alias, result_columns(query))

    def source(self, scope, depth, single=False):
        """What FROM reads: `(source, relations)`. `scope` is the one around the query."""
        dice = self.dice
        inside = Scope([], scope)
        source, relation = self.table(inside) if single else self.relation(inside, depth)
        relations = [relation]
        if single or depth <= 0:
            return source, relations
        for _ in range(dice.choices((0, 1, 2), (5, 4, 1))[0]):
            source, relations = self.joined(source, relations, scope, depth)
        if dice.flip(0.15, "unnest"):
            source, relations = self.unnested(source, relations)
        return source, relations

    def joined(self, source, relations, scope, depth):
        """One more relation beside those that are there."""
        dice = self.dice
        choices = [
            (6, "inner-join", "INNER"),
            (5, "left-join", "LEFT"),
            (2, "right-join", "RIGHT"),
            (3, "full-join", "FULL"),
        ]
        choices += [(1, "cross-join", "CROSS")]
        if dice.flip(0.1, "lateral"):
            query, relation = self.lateral(Scope(relations, scope), depth)
            kind = dice.choice(["CROSS", "LEFT"])
            on = None if kind == "CROSS" else Expression(BOOLEAN, "true")
            return Join(kind, source, Derived(query, relation.alias, lateral=True), on), relations + [
                relation
            ]
        right, relation = self.relation(Scope(relations, scope), depth - 1)
        while any(relation.alias == other.alias for other in relations):
            relation.alias = self.alias()
            right = right.changed(alias=relation.alias)
        kind = dice.among(choices)[1]
        if kind == "CROSS":
            return Join(kind, source, right), relations + [relation]
        on = self.join_condition(Scope(relations + [relation], scope, place="on"), relation, kind)
        return Join(kind, source, right, on), relations + [relation]

    def join_condition(self, scope, relation, kind):
        """ON: mostly an equality of two columns."""
        dice = self.dice
        if dice.flip(0.05, "on-constant"):
            text = dice.choice(["true", "false", "CAST(NULL AS boolean)", "(1 = 2)"])
            return Expression(BOOLEAN, text, label="on-constant")
        right = [leaf for leaf in scope.own if leaf.alias == relation.alias and leaf.type != BOOLEAN]
        left = [leaf for leaf in scope.own if leaf.alias != relation.alias and leaf.type != BOOLEAN]
        pairs = [(a, b) for a in left for b in right if a.type == b.type]
        on = None
        if pairs:
            # DuckDB's FULL JOIN takes equalities and comparisons alone.
            sign = "=" if kind == "FULL" or dice.random() < 0.8 else dice.choice(["<", ">=", "<>"])
            numbers = [pair for pair in pairs if pair[0].type in INTEGERS]
            pairs = numbers if numbers and dice.random() < 0.6 else pairs
            plain = [pair for pair in pairs if not pair[0].nan and not pair[1].nan] or pairs
            on = compare(sign, *dice.choice(plain if kind == "FULL" else pairs))
        if kind != "FULL" and (on is None or dice.random() < 0.3):
            # DuckDB has no subquery in the conditions of RIGHT and FULL joins.
            on = both(
                on, self.condition(scope, 1) if kind in ("INNER", "LEFT") else self.plain_condition(scope)
            )
        return on or Expression(BOOLEAN, "true")

    def unnested(self, source, relations):
        """UNNEST of an array or map."""
        dice = self.dice
        scope = Scope(relations)
        found = [pair for type in (ARRAY, MAP) for pair in scope.nested(type)]
        if not found:
            return source, relations
        argument, column = dice.choice(found)
        alias = self.alias()
        columns = (
            [Column("e", INTEGER)] if column.type == ARRAY else [Column("mk", VARCHAR), Column("mv", INTEGER)]
        )
        ordinality = dice.flip(0.3, "ordinality")
        if ordinality:
            columns.append(Column("o", BIGINT))
        names = tuple(c.name for c in columns)
        node = Unnest(
            source, argument, alias, names, column.type == MAP, ordinality, dice.flip(0.4, "left-join")
        )
        return node, relations + [Relation(alias, columns)]
