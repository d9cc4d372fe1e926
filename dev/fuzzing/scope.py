"""What an expression may name: the columns of the relations of a query, and of the queries around it."""

import dataclasses

from fuzzing.schema import ARRAY, Column, MAP, NESTED, STRUCT, STRUCTS
from fuzzing.syntax import Expression, INTEGER, VARCHAR


@dataclasses.dataclass
class Relation:
    """A relation of FROM: its alias and columns; `unique` where `id` is another in each row."""

    alias: str
    columns: list
    unique: bool = False
    # Whether its columns may be named without the alias, where no other has the name.
    bare: bool = False


def field(expression, inner):
    """A field of a struct."""
    text = "($0).{0}" if expression.parts else "{1}.{0}"
    text = text.format(inner.name, expression.text)
    return Expression(inner.type, text, expression.parts, label="struct", alias=expression.alias)


def derived(expression, column):
    """Scalar expressions that look into a nested column."""
    alias = expression.alias

    def made(type, trino, duckdb, label):
        return Expression(type, trino, (expression,), duckdb, label=label, alias=alias)

    if column.type == STRUCT:
        found = []
        for inner in column.fields:
            value = field(expression, inner)
            found += derived(value, inner) if inner.type in NESTED else [value]
        return found
    if column.type == ARRAY:
        return [
            made(INTEGER, "element_at($0, 1)", "list_extract($0, 1)", "array"),
            made(INTEGER, "element_at($0, -1)", "list_extract($0, -1)", "array"),
            made("bigint", "cardinality($0)", "cardinality_of($0)", "array"),
        ]
    if column.type == MAP:
        return [
            made(INTEGER, "element_at($0, 'a')", "map_extract($0, 'a')[1]", "map"),
            made(INTEGER, "element_at($0, 'ä')", "map_extract($0, 'ä')[1]", "map"),
            made("bigint", "cardinality($0)", "cardinality($0)", "map"),
        ]
    if column.type == STRUCTS:
        return [
            made(INTEGER, "element_at($0, 1).x", "list_extract($0, 1).x", "array-of-struct"),
            made(VARCHAR, "element_at($0, -1).y", "list_extract($0, -1).y", "array-of-struct"),
            made("bigint", "cardinality($0)", "cardinality_of($0)", "array-of-struct"),
        ]
    return [expression]


class Scope:
    """The relations of one query, inside of another's scope or of none."""

    def __init__(self, relations, outer=None, leaves=None, place="where"):
        self.relations, self.outer, self.place = relations, outer, place
        self.own = list(leaves) if leaves is not None else [leaf for r in relations for leaf in self.of(r)]
        aliases = {relation.alias for relation in relations}
        names = {column.name for relation in relations for column in relation.columns}
        self.around = [
            leaf
            for leaf in (outer.visible() if outer else [])
            if leaf.alias not in aliases and leaf.text not in names
        ]

    def of(self, relation):
        """The scalar expressions over the columns of one relation, columns before what looks into them."""
        found = []
        for column in relation.columns:
            others = [
                r
                for r in self.relations
                if r is not relation and any(c.name == column.name for c in r.columns)
            ]
            bare = relation.bare and not others and column.type not in NESTED
            text = column.name if bare else f"{relation.alias}.{column.name}"
            leaf = Expression(column.type, text, nan=column.nan, alias=relation.alias)
            found += derived(leaf, column)
        return found

    def visible(self):
        """What a query inside may name."""
        return self.own + self.around

    def at(self, place):
        """The same names at another place of the query."""
        other = Scope.__new__(Scope)
        other.__dict__.update(self.__dict__, place=place)
        return other

    def alone(self):
        """Without the names of the queries around."""
        other = self.at(self.place)
        other.around = []
        return other

    def leaves(self, type, around=False):
        """The columns of a type, of this query or of those around it."""
        return [leaf for leaf in (self.around if around else self.own) if leaf.type == type]

    def nested(self, type):
        """The nested columns of a type of this query's relations."""
        return [
            (Expression(type, f"{r.alias}.{c.name}", alias=r.alias), c)
            for r in self.relations
            for c in r.columns
            if c.type == type
        ]

    def unique(self):
        """The column whose values are unique in the rows of this query, if there is one."""
        if len(self.relations) == 1 and self.relations[0].unique:
            return Expression("bigint", f"{self.relations[0].alias}.id", alias=self.relations[0].alias)
        return None


def result_columns(query):
    """The columns of a query as a relation's."""
    body = getattr(query, "body", query)
    while hasattr(body, "left"):
        body = body.left
    return [Column(name, item.type, nan=item.nan) for name, item in zip(query.names, body.items)]
