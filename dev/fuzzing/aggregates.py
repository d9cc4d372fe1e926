"""Random aggregates and window functions. `Aggregates` is mixed with the rest in queries.py."""

from fuzzing.scope import Scope
from fuzzing.syntax import (
    BIGINT,
    BOOLEAN,
    DATE,
    DECIMAL,
    DOUBLE,
    Expression,
    INTEGER,
    INTEGERS,
    SCALARS,
    VARCHAR,
)


class Aggregates:
    """Aggregates over what a scope names."""

    def aggregate(self, type, scope):
        """An aggregate with a result of the type, over columns of this query alone."""
        scope = scope.alone()
        dice, argument = self.dice, self.leaf(type, scope)
        if type == BIGINT:
            choice = dice.choice(
                ["count(*)", "count(*)", "count", "distinct", "sum", "sum", "count_if", "max", "filter"]
            )
            if choice == "count(*)":
                return Expression(BIGINT, "count(*)", nan=False)
            if choice == "count":
                return Expression(BIGINT, "count($0)", (self.leaf(dice.choice(SCALARS), scope),), nan=False)
            if choice == "distinct":
                return Expression(
                    BIGINT, "count(DISTINCT $0)", (self.leaf(dice.choice(SCALARS), scope),), nan=False
                )
            if choice == "count_if":
                return Expression(
                    BIGINT,
                    "count_if($0)",
                    (self.plain_condition(scope),),
                    "count(*) FILTER (WHERE $0)",
                    nan=False,
                )
            small = [leaf for leaf in scope.own if leaf.type in INTEGERS and not leaf.text.endswith("big")]
            if choice in ("sum", "filter") and small:
                parts = (dice.choice(small), self.plain_condition(scope))
                if choice == "filter":
                    return Expression(BIGINT, "sum($0) FILTER (WHERE $1)", parts, label="aggregate-filter")
                return Expression(BIGINT, dice.choice(["sum($0)", "sum($0)", "sum(DISTINCT $0)"]), parts[:1])
        if type == DOUBLE and dice.random() < 0.4:
            small = [leaf for leaf in scope.own if leaf.type in INTEGERS and not leaf.text.endswith("big")]
            if small:
                return Expression(DOUBLE, "avg($0)", (dice.choice(small),))
        if type == BOOLEAN:
            return Expression(
                BOOLEAN, dice.choice(["bool_and($0)", "bool_or($0)"]), (self.plain_condition(scope),)
            )
        if type == DECIMAL and dice.random() < 0.4:
            return Expression(DECIMAL, "sum($0)", (argument,))
        name = dice.choice(["max", "min"])
        # NaN counts in min and max only where there is nothing else.
        known = f"{name}($0) FILTER (WHERE NOT isnan($0))"
        return Expression(
            type, f"{name}($0)", (argument,), f"coalesce({known}, {name}($0))" if argument.nan else None
        )

    def plain_condition(self, scope):
        """A condition without subqueries."""
        self.levels += 9
        made = self.condition(scope, 1)
        self.levels -= 9
        return made

    def having(self, scope, keys):
        """A condition over aggregates and keys."""
        dice = self.dice
        leaves = list(keys) + [
            self.aggregate(dice.choice((BIGINT, BIGINT, INTEGER, VARCHAR)), scope) for _ in range(2)
        ]
        grouped = Scope(scope.relations, scope.outer, leaves=leaves, place="having")
        # No other column may be named here, and only keys by a subquery inside.
        grouped.relations = []
        keys = [key for key in keys if key.alias]
        grouped.visible = lambda: keys + grouped.around
        return self.condition(grouped, 2)

    def window(self, scope, unique):
        """One function with its window."""
        dice = self.dice
        key = self.leaf(dice.choice((INTEGER, VARCHAR, BIGINT)), scope)
        partition = "PARTITION BY $0 " if dice.random() < 0.6 and key.alias else ""
        value = self.leaf(dice.choice((INTEGER, BIGINT, VARCHAR, DATE)), scope)
        number = dice.choice(
            [leaf for leaf in scope.own if leaf.type in INTEGERS and not leaf.text.endswith("big")]
            or [self.literal(INTEGER)]
        )
        descending = dice.choice(["", " DESC"])
        total = f"ORDER BY $1{descending}"
        rows = dice.choice(
            ["", " ROWS BETWEEN 2 PRECEDING AND CURRENT ROW", " ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING"]
        )
        rows = dice.choice([rows, " ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING"])
        ranged = dice.choice(
            [
                "",
                " RANGE BETWEEN 1 PRECEDING AND 1 FOLLOWING",
                " RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW",
            ]
        )

        def made(type, function, order):
            parts = (key, unique or key, value, number)
            return Expression(type, f"{function} OVER ({partition}{order})", parts, label="window")

        # With ties, only what does not tell them apart.
        found = [
            made(BIGINT, "rank()", f"ORDER BY $3{descending}"),
            made(BIGINT, "dense_rank()", f"ORDER BY $2{descending}"),
        ]
        found += [made(BIGINT, "sum($3)", f"ORDER BY $3{descending}{ranged}"), made(BIGINT, "count(*)", "")]
        if unique is not None:
            found += [
                made(BIGINT, "row_number()", total),
                made(BIGINT, "ntile(3)", total),
                made(value.type, f"lag($2, {dice.randint(0, 2)})", total),
                made(value.type, "lead($2)", total),
                made(value.type, f"{dice.choice(['first_value', 'last_value'])}($2)", total + rows),
                made(value.type, "nth_value($2, 2)", total + rows),
                made(BIGINT, "sum($3)", total + rows),
                made(value.type, "max($2)", total + rows),
                made(BIGINT, "count($2)", total + rows),
            ]
        return dice.choice(found)
