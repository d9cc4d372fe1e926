"""Random scalar expressions and conditions. `Expressions` is mixed with `Subqueries` in queries.py."""

from fuzzing.schema import ARRAY, NESTED, TEXTS
from fuzzing.syntax import (
    BIGINT,
    BOOLEAN,
    DATE,
    DECIMAL,
    DOUBLE,
    Expression,
    INTEGER,
    NUMBERS,
    SCALARS,
    TIMESTAMP,
    VARCHAR,
)

SIGNS = {"=": "eq", "<>": "ne", "<": "lt", "<=": "le", ">": "gt", ">=": "ge"}


def compare(sign, left, right, label=None):
    """A comparison; with NaN about, DuckDB is told the rules of IEEE 754."""
    duckdb = f"ieee_{SIGNS[sign]}($0, $1)" if left.nan or right.nan else None
    return Expression(BOOLEAN, f"($0 {sign} $1)", (left, right), duckdb, label=label, nan=False)


def both(left, right):
    """AND, where either may be missing."""
    if left is None or right is None:
        return left or right
    return Expression(BOOLEAN, "($0 AND $1)", (left, right))


class Expressions:
    """Expressions over what a scope names; `self.dice` chooses."""

    def literal(self, type):
        """A constant, now and then NULL."""
        dice = self.dice
        if dice.random() < 0.06:
            return Expression(type, f"CAST(NULL AS {type})")
        if type == INTEGER:
            return Expression(type, str(dice.randint(-2, 7)))
        if type == BIGINT:
            return Expression(type, f"CAST({dice.randint(-2, 7)} AS bigint)")
        if type == DOUBLE:
            return Expression(type, f"{dice.randint(-8, 12) / 4}E0")
        if type == DECIMAL:
            return Expression(type, f"{dice.randint(-3, 6)}.{dice.choice(['00', '25', '50', '77'])}")
        if type == VARCHAR:
            return Expression(type, f"'{dice.choice(TEXTS)}'")
        if type == BOOLEAN:
            return Expression(type, dice.choice(["true", "false"]))
        day = f"2024-01-{dice.randint(1, 28):02}"
        if type == DATE and dice.flip(0.03, "far-date"):
            day = "2500-06-01"
        text = f"DATE '{day}'" if type == DATE else f"TIMESTAMP '{day} {dice.randint(0, 23):02}:00:00.000'"
        return Expression(type, text)

    def leaf(self, type, scope):
        """A column of this query, now and then of one around it; a constant where there is none."""
        dice = self.dice
        around = bool(scope.around) and dice.flip(0.15, "outer-reference")
        found = scope.leaves(type, around) or scope.leaves(type)
        plain = [leaf for leaf in found if not leaf.parts]
        found = plain if plain and dice.random() < 0.5 else found
        return dice.choice(found) if found else self.literal(type)

    def number_type(self):
        """One of the types of numbers."""
        return self.dice.choices(NUMBERS, (4, 4, 2, 2))[0]

    def expression(self, type, scope, depth):
        """An expression of a type."""
        dice = self.dice
        if type == BOOLEAN:
            return self.condition(scope, depth)
        if depth <= 0 or dice.random() < 0.45:
            return self.leaf(type, scope) if dice.random() < 0.85 else self.literal(type)
        choices = [
            (3, "case", self.case),
            (3, "coalesce", self.coalesce),
            (1, "nullif", self.nullif),
            (4, "functions", self.function),
        ]
        if self.subqueries_at(scope, depth):
            choices.append((3, "scalar-subquery", self.scalar_subquery))
        return dice.among(choices)[1](type, scope, depth - 1)

    def case(self, type, scope, depth):
        """CASE WHEN."""
        inner = scope if scope.place != "where" else scope.at("case")
        parts = [
            self.condition(inner, depth),
            self.expression(type, inner, depth),
            self.expression(type, inner, depth),
        ]
        if self.dice.random() < 0.3:
            return Expression(type, "CASE WHEN $0 THEN $1 END", parts[:2], label="case")
        return Expression(type, "CASE WHEN $0 THEN $1 ELSE $2 END", parts, label="case")

    def coalesce(self, type, scope, depth):
        """coalesce of two."""
        parts = [self.expression(type, scope, depth), self.expression(type, scope, depth)]
        return Expression(type, "coalesce($*)", parts, label="coalesce")

    def nullif(self, type, scope, depth):
        """nullif, of values that are not NaN."""
        left, right = self.leaf(type, scope), self.literal(type)
        return Expression(type, "nullif($*)", (left, right)) if not left.nan else left

    def function(self, type, scope, depth):
        """An operator or function with a result of the type; operands of arithmetic stay small."""
        dice, leaf = self.dice, self.leaf(type, scope)
        if type in (INTEGER, BIGINT, DECIMAL):
            choices = [("($0 + $1)", None), ("($0 - $1)", None), ("abs($0)", None), ("(- $0)", None)]
            if leaf.text.endswith("big"):
                return leaf
            if type != DECIMAL:
                choices += [("($0 / 2)", "($0 // 2)"), ("($0 % 3)", None), ("greatest($*)", "largest($*)")]
                choices += [("least($*)", "smallest($*)")]
            text, duckdb = dice.choice(choices)
            return Expression(
                type, text, (leaf, self.literal(type))[: 2 if "$1" in text or "$*" in text else 1], duckdb
            )
        if type == DOUBLE:
            return Expression(
                type, dice.choice(["($0 + $1)", "($0 * $1)", "($0 - $1)"]), (leaf, self.literal(type))
            )
        if type == VARCHAR:
            other = Expression(VARCHAR, "CAST($0 AS varchar)", (self.leaf(INTEGER, scope),))
            text = dice.choice(["($0 || $1)", "upper($0)", "substr($0, 1, 1)", "trim($0)", "reverse($0)"])
            return Expression(
                type, text, (leaf, dice.choice([other, self.literal(type)]))[: 2 if "$1" in text else 1]
            )
        if type == DATE:
            return Expression(
                type, dice.choice(["($0 + INTERVAL '1' DAY)", "date_trunc('month', $0)"]), (leaf,)
            )
        return Expression(type, "($0 - INTERVAL '2' HOUR)", (leaf,))

    def condition(self, scope, depth):
        """A condition."""
        choices = [
            (26, "comparison", self.comparison),
            (7, "null-test", self.null_test),
            (6, "in-list", self.in_list),
            (4, "between", self.between),
            (4, "like", self.like),
            (3, "boolean-column", lambda scope, depth: self.leaf(BOOLEAN, scope)),
            (4, "distinct-from", self.distinct_from),
            (3, "literal-predicate", self.literal_predicate),
        ]
        if any(leaf.nan for leaf in scope.own):
            choices.append((8, "nan-comparison", self.nan_comparison))
        if scope.nested(ARRAY):
            choices.append((4, "contains", self.contains))
        if any(scope.nested(type) for type in NESTED):
            choices.append((3, "nested-null-test", self.nested_null_test))
        if depth > 0:
            choices += [
                (12, "and-or", self.and_or),
                (7, "not", self.negation),
                (3, "guard", self.guard),
                (2, "case", lambda scope, depth: self.case(BOOLEAN, scope, depth)),
            ]
            if self.subqueries_at(scope, depth):
                choices += self.subquery_conditions()
        return self.dice.among(choices)[1](scope, depth - 1)

    def comparison(self, scope, depth):
        """Two values; numbers of two types now and then."""
        dice = self.dice
        type = dice.choice(SCALARS[:5] + SCALARS[6:]) if dice.random() < 0.5 else self.number_type()
        left, other = self.expression(type, scope, depth), type
        if type in NUMBERS and dice.flip(0.25, "mixed-types"):
            other = self.number_type()
        elif type in (DATE, TIMESTAMP) and dice.flip(0.2, "mixed-types"):
            other = dice.choice([DATE, TIMESTAMP])
        right = self.literal(other) if dice.random() < 0.6 else self.expression(other, scope, depth)
        return compare(dice.choice(list(SIGNS)), left, right)

    def nan_comparison(self, scope, depth):
        """A comparison of a column that holds NaN, as conditions on statistics are."""
        dice = self.dice
        leaf = dice.choice([leaf for leaf in scope.own if leaf.nan])
        # Often such as hold for every finite value.
        low, high = (-3, 4) if dice.random() < 0.4 else sorted(dice.randint(-8, 12) / 4 for _ in range(2))
        low, high = Expression(DOUBLE, f"{low}E0"), Expression(DOUBLE, f"{high}E0")
        if dice.random() < 0.3:
            duckdb = "(ieee_ge($0, $1) AND ieee_le($0, $2))"
            test = Expression(
                BOOLEAN,
                "($0 BETWEEN $1 AND $2)",
                (leaf, low, high),
                duckdb,
                label="nan-comparison",
                nan=False,
            )
        else:
            sign = dice.choice(list(SIGNS))
            test = compare(sign, leaf, low if sign in (">", ">=") else high, "nan-comparison")
        return Expression(BOOLEAN, "(NOT $0)", (test,), label="not") if dice.flip(0.5, "not") else test

    def filter(self, scope):
        """A condition on one column, such as statistics decide."""
        choices = [
            (4, "comparison", self.plain_comparison),
            (3, "null-test", self.plain_null_test),
            (3, "in-list", self.in_list),
        ]
        choices += [
            (2, "between", self.between),
            (1, "like", self.like),
            (1, "distinct-from", self.distinct_from),
        ]
        if any(leaf.nan for leaf in scope.own):
            choices.append((9, "nan-comparison", self.nan_comparison))
        test = self.dice.among(choices)[1](scope, 0)
        return Expression(BOOLEAN, "(NOT $0)", (test,), label="not") if self.dice.flip(0.25, "not") else test

    def plain_comparison(self, scope, depth):
        """A column with a constant."""
        leaf = self.dice.choice([leaf for leaf in scope.own if leaf.type in SCALARS])
        return compare(self.dice.choice(list(SIGNS)), leaf, self.literal(leaf.type))

    def plain_null_test(self, scope, depth):
        """A column IS NULL."""
        leaf = self.dice.choice([leaf for leaf in scope.own if leaf.type in SCALARS])
        return Expression(BOOLEAN, f"($0 IS {self.dice.choice(['', 'NOT '])}NULL)", (leaf,), nan=False)

    def null_test(self, scope, depth):
        """IS NULL."""
        part = self.expression(self.dice.choice(SCALARS), scope, depth)
        return Expression(BOOLEAN, f"($0 IS {self.dice.choice(['', 'NOT '])}NULL)", (part,), nan=False)

    def nested_null_test(self, scope, depth):
        """IS NULL of a struct, an array or a map as a whole."""
        leaf, _ = self.dice.choice([pair for type in NESTED for pair in scope.nested(type)])
        text = f"($0 IS {self.dice.choice(['', 'NOT '])}NULL)"
        return Expression(BOOLEAN, text, (leaf,), label="nested-null-test", nan=False)

    def in_list(self, scope, depth):
        """IN over constants."""
        type = self.dice.choice((INTEGER, BIGINT, VARCHAR, DECIMAL, DATE, DOUBLE))
        value = self.leaf(type, scope)
        parts = [value] + [self.literal(type) for _ in range(self.dice.randint(1, 4))]
        entries = ", ".join(f"${at}" for at in range(1, len(parts)))
        equal = " OR ".join(f"ieee_eq($0, ${at})" for at in range(1, len(parts)))
        word = self.dice.choice(["IN", "NOT IN"])
        duckdb = f"({'NOT ' if word == 'NOT IN' else ''}({equal}))" if value.nan else None
        return Expression(BOOLEAN, f"($0 {word} ({entries}))", parts, duckdb, nan=False)

    def between(self, scope, depth):
        """BETWEEN."""
        type = self.dice.choice((INTEGER, BIGINT, DATE, TIMESTAMP, VARCHAR, DECIMAL))
        parts = (self.leaf(type, scope), self.literal(type), self.literal(type))
        return Expression(BOOLEAN, f"($0 {self.dice.choice(['', 'NOT '])}BETWEEN $1 AND $2)", parts)

    def like(self, scope, depth):
        """LIKE with a constant pattern."""
        pattern = self.dice.choice(["a%", "%b", "%", "_", "a_", "%ä%", "B%", "", "日%"])
        return Expression(
            BOOLEAN, f"($0 {self.dice.choice(['', 'NOT '])}LIKE '{pattern}')", (self.leaf(VARCHAR, scope),)
        )

    def distinct_from(self, scope, depth):
        """IS DISTINCT FROM."""
        type = self.dice.choice(SCALARS)
        parts = (self.leaf(type, scope), self.dice.choice([self.leaf(type, scope), self.literal(type)]))
        word = self.dice.choice(["", "NOT "])
        return Expression(BOOLEAN, f"($0 IS {word}DISTINCT FROM $1)", parts, label="distinct-from", nan=False)

    def literal_predicate(self, scope, depth):
        """A condition without columns."""
        text = self.dice.choice(
            [
                "true",
                "false",
                "CAST(NULL AS boolean)",
                "(1 = 2)",
                "('a' < 'b')",
                "(NULL = 1)",
                "(2 IN (1, NULL))",
            ]
        )
        return Expression(BOOLEAN, text, label="literal-predicate")

    def contains(self, scope, depth):
        """contains(array, element), which is NULL where it cannot be known."""
        array, _ = self.dice.choice(scope.nested(ARRAY))
        parts = (array, self.expression(INTEGER, scope, depth))
        return Expression(BOOLEAN, "contains($*)", parts, "holds($*)", label="array")

    def and_or(self, scope, depth):
        """AND or OR of two."""
        word = self.dice.choice(["AND", "OR"])
        return Expression(
            BOOLEAN, f"($0 {word} $1)", (self.condition(scope, depth), self.condition(scope, depth))
        )

    def negation(self, scope, depth):
        """NOT."""
        return Expression(BOOLEAN, "(NOT $0)", (self.condition(scope, depth),), label="not")

    def guard(self, scope, depth):
        """A condition that keeps the one to its right from failing."""
        dice = self.dice
        number, text = self.leaf(INTEGER, scope), self.leaf(VARCHAR, scope)
        sign = dice.choice(["=", ">", "<>"])
        arrays = scope.nested(ARRAY)
        choices = [
            ((number,), f"($0 <> 0 AND 10 / $0 {sign} 2)", f"($0 <> 0 AND 10 // $0 {sign} 2)"),
            ((number,), f"($0 = 0 OR 10 % $0 {sign} 1)", None),
            (
                (number,),
                f"(CASE WHEN $0 <> 0 THEN 7 / $0 END {sign} 1)",
                f"(CASE WHEN $0 <> 0 THEN 7 // $0 END {sign} 1)",
            ),
            (
                (text,),
                f"($0 = '10' AND CAST($0 AS integer) {sign} 3)",
                f"($0 = '10' AND TRY_CAST($0 AS integer) {sign} 3)",
            ),
        ]
        if arrays:
            array, _ = dice.choice(arrays)
            pair = (f"(cardinality($0) > 1 AND $0[2] {sign} 1)", f"(len($0) > 1 AND $0[2] {sign} 1)")
            choices.append(((array,), *pair))
        parts, trino, duckdb = dice.choice(choices)
        return Expression(BOOLEAN, trino, parts, duckdb, label="guard", nan=False)
