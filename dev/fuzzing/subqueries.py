"""Random subqueries of every form, in every place of an expression, correlated or not."""

from fuzzing.expressions import both, compare
from fuzzing.relations import Rows
from fuzzing.schema import Column
from fuzzing.scope import Relation, Scope
from fuzzing.syntax import (
    BIGINT,
    BOOLEAN,
    DOUBLE,
    Expression,
    Grouping,
    INTEGER,
    NUMBERS,
    Select,
    Sort,
    VARCHAR,
)

# The places of a query where a subquery may stand, and how often one does where it could.
PLACES = {"where": 1.0, "select": 0.5, "case": 0.7, "having": 0.7, "on": 0.5, "order-by": 0.6}


class Subqueries:
    """Subqueries inside of a scope; `self.source` makes what they read."""

    def subqueries_at(self, scope, depth):
        """Whether one may stand here."""
        name = "subquery-in-" + scope.place
        return (
            self.levels < 2
            and depth > 0
            and self.dice.flip(PLACES[scope.place], name)
            and self.dice.on("subqueries")
        )

    def subquery_conditions(self):
        """The conditions that hold a subquery, with their weights."""
        return [
            (8, "exists", self.exists),
            (7, "in-subquery", self.in_subquery),
            (7, "not-in-subquery", lambda scope, depth: self.in_subquery(scope, depth, "NOT IN")),
            (7, "quantified", self.quantified),
            (6, "scalar-subquery", self.scalar_comparison),
        ]

    def labelled(self, label, scope):
        """The construct with its place, where that is not WHERE."""
        return label if scope.place == "where" else f"{label}-in-{scope.place}"

    def body(self, scope, depth, single=False):
        """A relation and condition inside: `(source, scope, condition)`, mostly correlated."""
        dice = self.dice
        self.levels += 1
        simple = single or dice.random() < 0.6
        source, relations = self.source(scope, 0 if simple else depth, single)
        inner = Scope(relations, scope)
        where = self.correlation(inner) if inner.around and dice.random() < 0.75 else None
        if dice.random() < 0.4:
            where = both(where, self.condition(inner, depth))
        self.levels -= 1
        return source, inner, where

    def correlation(self, scope):
        """A comparison of a column inside with one outside."""
        dice = self.dice
        types = sorted({leaf.type for leaf in scope.around if leaf.type != BOOLEAN})
        # Some leaf inside has to have the type, or one that meets it.
        kinds = [t for t in types if scope.leaves(t)] or types
        if not kinds:
            return None
        numbers = [t for t in kinds if t in (INTEGER, BIGINT)]
        type = dice.choice(numbers if numbers and dice.random() < 0.6 else kinds)
        outer = dice.choice(scope.leaves(type, around=True))
        meets = [outer.type]
        if outer.type in NUMBERS and dice.flip(0.3, "mixed-types"):
            meets = list(NUMBERS)
        inside = [leaf for leaf in scope.own if leaf.type in meets]
        inside = dice.choice(inside) if inside else self.literal(outer.type)
        sign = "="
        if dice.flip(0.35, "range-correlation"):
            sign = dice.choice(["<", "<=", ">", ">=", "<>"])
        label = "correlated" if sign == "=" else "range-correlation"
        pair = (inside, outer) if dice.random() < 0.5 else (outer, inside)
        return compare(sign, *pair, label=label)

    def one_column(self, scope, depth, type):
        """A query of one column of a type, for IN, EXISTS, ANY and ALL."""
        dice = self.dice
        source, inner, where = self.body(scope, depth)
        choices = [
            (12, "subquery-plain", "plain"),
            (4, "subquery-aggregate", "aggregate"),
            (3, "subquery-grouped", "grouped"),
            (3, "subquery-limit", "limit"),
            (1, "subquery-distinct", "distinct"),
        ]
        form = dice.among(choices)[1]
        if form == "aggregate":
            select = Select([self.aggregate(type, inner)], source, where)
            if dice.flip(0.3, "having"):
                select.having = self.having(inner, [])
            select.label = "subquery-aggregate"
            return select
        self.levels += 1
        value = (
            self.expression(type, inner.at("select"), min(depth, 1))
            if dice.random() < 0.3
            else self.leaf(type, inner)
        )
        self.levels -= 1
        select = Select([value], source, where)
        if form == "distinct":
            select.distinct = True
        elif form == "grouped":
            key = self.leaf(type, inner)
            if key.alias and any(key.text == leaf.text for leaf in inner.own):
                select = Select([key], source, where, Grouping("plain", [key]))
                select.having = self.having(inner, [key]) if dice.random() < 0.5 else None
                select.label = "subquery-grouped"
        elif form == "limit":
            select.order, select.limit = (Sort(1, dice.random() < 0.5),), dice.choice([0, 1, 1, 2, 3])
            select.label = "subquery-limit"
        return select

    def exists(self, scope, depth):
        """EXISTS or NOT EXISTS."""
        query = self.one_column(scope, depth, self.dice.choice((INTEGER, BIGINT, VARCHAR)))
        word = self.dice.choice(["", "NOT "])
        other = f"({word}(SELECT count(*) > 0 FROM ($0) q_q))"
        return Expression(
            BOOLEAN,
            f"({word}EXISTS ($0))",
            (query,),
            label=self.labelled("exists", scope),
            other=other,
            nan=False,
        )

    def in_subquery(self, scope, depth, word="IN"):
        """value IN (query), value NOT IN (query)."""
        type = self.dice.choice((INTEGER, BIGINT, VARCHAR))
        value = self.expression(type, scope, min(depth, 1))
        other = type if type == VARCHAR or not self.dice.flip(0.3, "mixed-types") else self.number_type()
        query = self.one_column(scope, depth, other)
        negated = "NOT " if word == "NOT IN" else ""
        label = self.labelled("not-in-subquery" if negated else "in-subquery", scope)
        counted = self.counted("=", "ANY", other == DOUBLE)
        if scope.place == "having":
            # In the other form an aggregate of the value would be one of the subquery.
            return Expression(BOOLEAN, f"($0 {word} ($1))", (value, query), None, label, False)
        native = None if other != DOUBLE else f"({negated}{counted})"
        return Expression(
            BOOLEAN, f"($0 {word} ($1))", (value, query), native, label, False, other=f"({negated}{counted})"
        )

    def counted(self, sign, word, nan):
        """ANY and ALL by what they mean, as DuckDB's text: it has been wrong about its own words."""
        test = (
            f"ieee_{ {'=': 'eq', '<>': 'ne', '<': 'lt', '<=': 'le', '>': 'gt', '>=': 'ge'}[sign]}"
            if nan
            else None
        )
        test = f"{test}($0, e_e)" if test else f"$0 {sign} e_e"
        wanted, rest = ("true", "false") if word != "ALL" else ("false", "true")
        decided = "q_c" if wanted == "true" else "NOT q_c"
        return (
            f"(SELECT CASE WHEN count(*) FILTER (WHERE {decided}) > 0 THEN {wanted} WHEN count(*) FILTER (WHERE q_c IS NULL)"
            f" > 0 THEN NULL ELSE {rest} END FROM (SELECT ({test}) AS q_c FROM ($1) q_q(e_e)) q_r)"
        )

    def quantified(self, scope, depth):
        """value <op> ANY (query), ALL, SOME."""
        dice = self.dice
        type = dice.choice((INTEGER, BIGINT, VARCHAR, INTEGER, DOUBLE))
        value = self.expression(type, scope, min(depth, 1))
        query = self.one_column(scope, depth, type)
        sign, word = dice.choice(["=", "<>", "<", "<=", ">", ">="]), dice.choice(["ANY", "ALL", "SOME"])
        counted = self.counted(sign, word, type == DOUBLE) if scope.place != "having" else None
        if counted is None and type == DOUBLE:
            return self.null_test(scope, depth)
        label = self.labelled("quantified", scope)
        return Expression(BOOLEAN, f"($0 {sign} {word} ($1))", (value, query), counted, label, False)

    def scalar_comparison(self, scope, depth):
        """A scalar subquery compared with a value."""
        type = self.dice.choice((INTEGER, BIGINT, VARCHAR))
        left, right = self.scalar_subquery(type, scope, depth), self.expression(type, scope, 0)
        return compare(self.dice.choice(["=", "<", ">=", "<>"]), left, right)

    def scalar_subquery(self, type, scope, depth):
        """A query of one column that has at most one row, whatever the data."""
        dice = self.dice
        choices = [
            (8, "scalar-aggregate", self.scalar_aggregate),
            (3, "scalar-limit", self.scalar_limit),
            (2, "scalar-unique", self.scalar_unique),
        ]
        if scope.visible():
            choices += [
                (1, "scalar-without-from", self.scalar_without_from),
                (1, "scalar-values", self.scalar_values),
            ]
        label, made = dice.among(choices)
        query = made(type, scope, depth)
        return Expression(
            type, "($0)", (query,), label=self.labelled(label, scope), nan=self.may_be_nan(query)
        )

    @staticmethod
    def may_be_nan(query):
        """Whether the query's value can be NaN."""
        return any(getattr(item, "nan", False) for item in query.items)

    def scalar_aggregate(self, type, scope, depth):
        """An aggregate without GROUP BY: one row over nothing too."""
        source, inner, where = self.body(scope, depth)
        item = self.aggregate(type, inner)
        if self.dice.flip(0.25, "computed-aggregate") and type in (INTEGER, BIGINT):
            item = (
                Expression(type, "coalesce($0, 0)", (item,))
                if self.dice.random() < 0.5
                else Expression(type, "($0 + 1)", (item,))
            )
        return Select([item], source, where)

    def scalar_limit(self, type, scope, depth):
        """The first row by an order without ties."""
        source, inner, where = self.body(scope, depth, single=True)
        unique = inner.unique()
        if unique is None:
            return Select([self.aggregate(type, inner)], source, where)
        select = Select([self.leaf(type, inner)], source, where)
        select.order, select.limit = (Sort(unique, self.dice.random() < 0.5),), 1
        return select

    def scalar_unique(self, type, scope, depth):
        """The row with a number of its own."""
        source, inner, where = self.body(scope, depth, single=True)
        unique = inner.unique()
        if unique is None:
            return Select([self.aggregate(type, inner)], source, where)
        outer = [leaf for leaf in inner.around if leaf.type in (INTEGER, BIGINT)]
        wanted = self.dice.choice(outer) if outer else self.literal(INTEGER)
        return Select([self.leaf(type, inner)], source, both(compare("=", unique, wanted), where))

    def scalar_without_from(self, type, scope, depth):
        """SELECT of what is outside."""
        inner = Scope([], scope)
        found = inner.leaves(type, around=True)
        value = self.dice.choice(found) if found else self.literal(type)
        where = None
        if self.dice.random() < 0.3:
            where = Expression(BOOLEAN, "($0 IS NOT NULL)", (value,), nan=False)
        return Select([value], None, where)

    def scalar_values(self, type, scope, depth):
        """One row of VALUES with what is outside."""
        inner = Scope([], scope)
        found = inner.leaves(type, around=True)
        value = self.dice.choice(found) if found else self.literal(type)
        alias = self.alias()
        rows = Rows([[value]], alias, ("n",))
        leaf = Expression(type, f"{alias}.n", alias=alias, nan=value.nan)
        return Select([leaf], rows)

    def in_context(self, test, scope):
        """A condition where NULL has to stay what it is."""
        other = self.filter(scope)
        texts = [
            "$0",
            "$0",
            "(NOT $0)",
            "($0 OR $1)",
            "($1 OR $0)",
            "($0 AND $1)",
            "(NOT ($0 OR $1))",
            "($0 IS NULL)",
        ]
        texts += [
            "coalesce($0, $1)",
            "CASE WHEN $0 THEN $1 ELSE true END",
            "CASE WHEN $1 THEN $0 ELSE false END",
            "($0 = $1)",
        ]
        text = self.dice.choice(texts)
        return Expression(BOOLEAN, text, (test, other) if "$1" in text else (test,), nan=False)

    def lateral(self, scope, depth):
        """A query that uses the relations to its left, for LATERAL; `(query, relation)`."""
        dice = self.dice
        self.levels += 1
        if dice.random() < 0.5:
            source, inner, where = self.body(scope, 1)
            query = Select([self.aggregate(BIGINT, inner)], source, where)
        else:
            source, inner, where = self.body(scope, 1, single=True)
            query = Select([self.leaf(INTEGER, inner), self.leaf(VARCHAR, inner)], source, where)
            unique = inner.unique()
            if unique is not None and dice.flip(0.4, "subquery-limit"):
                query.order, query.limit = (Sort(unique, dice.random() < 0.5),), dice.choice([1, 2])
        self.levels -= 1
        alias = self.alias()
        columns = [Column(name, item.type, nan=item.nan) for name, item in zip(query.names, query.items)]
        return query, Relation(alias, columns)
