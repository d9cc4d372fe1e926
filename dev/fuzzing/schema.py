"""Logical tables: columns and rows, and the plan of each of their files; no file is written here."""

import dataclasses
import datetime
import decimal
import math

from fuzzing.syntax import BIGINT, BOOLEAN, DATE, DECIMAL, DOUBLE, INTEGER, TIMESTAMP, VARCHAR

STRUCT, ARRAY, MAP, STRUCTS = "struct", "array", "map", "array of struct"
NESTED = (STRUCT, ARRAY, MAP, STRUCTS)

TEXTS = ["", " ", "a", "a ", "A", "b", "ab", "B%", "z_", "ä", "Ä", "日本", "😀x", "abc", "-", "10"]
KEYS = ["a", "b", "k", "ä"]
# Values of partitions: the empty text is none, and Athena's lists of values are separated by commas.
GROUPS = ["a", "b", "ab", "ä", "B%", "z_", "日本", "c d"]


@dataclasses.dataclass(frozen=True)
class Column:
    """A column; `nan` where NaN can be in it, `unique` where each row has a value of its own. A struct has `fields`."""

    name: str
    type: str
    nan: bool = False
    unique: bool = False
    required: bool = False
    fields: tuple = ()


@dataclasses.dataclass(frozen=True)
class FilePlan:
    """How one file is written; every plan holds the same rows."""

    group_rows: int = 1000
    statistics: bool = True
    dictionary: bool = True
    page_index: bool = False
    small_pages: bool = False
    version2: bool = False
    compression: str = "snappy"
    # A seed for the order of columns, 0 for the table's.
    order: int = 0
    upper: tuple = ()
    leave_out: tuple = ()
    narrow: bool = False
    unit: str = "ms"
    # Changes to the footer: see footer.py.
    footer: tuple = ()
    twin: str | None = None


@dataclasses.dataclass(frozen=True)
class File:
    """Rows that lie in one file."""

    rows: tuple
    plan: FilePlan = FilePlan()


@dataclasses.dataclass(frozen=True)
class Table:
    """A table: the last column is the one that the partitioned forms are partitioned by, if `partitioned`."""

    name: str
    columns: tuple
    files: tuple
    forms: tuple
    partitioned: bool = False
    # Whether there is a partition besides whose file has no rows.
    empty_partition: bool = False

    @property
    def rows(self):
        """The rows of all files."""
        return [row for file in self.files for row in file.rows]


def struct_fields(required):
    """The fields of the struct columns."""
    inner = Column("z", STRUCT, fields=(Column("q", INTEGER), Column("r", VARCHAR)))
    fields = (Column("x", INTEGER, required=required), Column("y", VARCHAR, required=required))
    return fields if required else fields + (inner,)


FLAT = (
    Column("v", BIGINT),
    Column("w", INTEGER),
    Column("big", BIGINT),
    Column("x", DOUBLE, nan=True),
    Column("y", DOUBLE),
    Column("d", DECIMAL),
    Column("s", VARCHAR),
    Column("u", VARCHAR),
    Column("b", BOOLEAN),
    Column("dt", DATE),
    Column("ts", TIMESTAMP),
)


def value(dice, column, nulls=0.2):
    """A value of a column; NULL with the given chance."""
    if column.required:
        nulls = 0
    if dice.random() < nulls:
        return None
    if column.type == STRUCT:
        return {field.name: value(dice, field) for field in column.fields}
    if column.type == ARRAY:
        return [value(dice, Column("", INTEGER)) for _ in range(dice.randint(0, 3))]
    if column.type == MAP:
        return [(key, value(dice, Column("", INTEGER))) for key in dice.sample(KEYS, dice.randint(0, 3))]
    if column.type == STRUCTS:
        return [value(dice, Column("", STRUCT, fields=column.fields)) for _ in range(dice.randint(0, 3))]
    return scalar(dice, column)


def scalar(dice, column):
    """A value of a column of a scalar type. Doubles are multiples of a quarter, so that no sum is rounded."""
    if column.name == "big":
        return dice.choice([-(2**62), -1, 0, 1, 7, 2**31, 2**53 + 1, 2**62])
    if column.type in (INTEGER, BIGINT):
        return dice.randint(-2, 6) if dice.random() < 0.9 else dice.randint(-40, 90)
    if column.type == DOUBLE:
        if column.nan and dice.on("nan") and dice.random() < 0.4:
            return dice.choice([math.nan, math.nan, math.inf, -math.inf, -0.0])
        return dice.choice([-0.0, 0.0]) if dice.random() < 0.15 else dice.randint(-8, 12) / 4
    if column.type == DECIMAL:
        return (
            decimal.Decimal(dice.randint(-300, 700) if dice.random() < 0.5 else 25 * dice.randint(-4, 8))
            / 100
        )
    if column.type == VARCHAR:
        return dice.choice(TEXTS)
    if column.type == BOOLEAN:
        return dice.random() < 0.5
    if column.type == DATE:
        if dice.flip(0.04, "far-date"):
            # Past what fits into nanoseconds.
            return datetime.date(2500, 6, 1)
        return datetime.date(2024, 1, 1) + datetime.timedelta(dice.randint(-3, 40))
    return datetime.datetime(2024, 1, 1) + datetime.timedelta(
        hours=dice.randint(-30, 60), milliseconds=dice.choice([0, 0, 1, 999])
    )


def file_plan(dice, columns, table_rows):
    """A random plan of one file, with the constructs that are switched on."""
    flat = [column.name for column in columns if column.type not in NESTED]
    texts = [column.name for column in columns if column.type == VARCHAR]
    footer = []
    for chance, name in (
        (0.3, "no-null-count"),
        (0.3, "group-order"),
        (0.2, "truncated-bounds"),
        (0.2, "signed-bounds"),
    ):
        if dice.flip(chance, name) and (texts or not name.endswith("bounds")):
            footer.append(name)
    edits = tuple(footer)
    return FilePlan(
        group_rows=dice.choice([1, 2, 3, 5, 8, 1000]),
        statistics=bool(edits) or not dice.flip(0.2, "no-statistics"),
        dictionary=dice.random() < 0.6,
        page_index=not edits and dice.flip(0.4, "page-index"),
        small_pages=dice.flip(0.3, "small-pages"),
        version2=dice.random() < 0.3,
        compression=dice.choice(["snappy", "none", "zstd"]),
        order=dice.randint(1, 99) if dice.flip(0.3, "column-order") else 0,
        upper=tuple(c.name for c in columns if dice.random() < 0.5) if dice.flip(0.25, "column-case") else (),
        narrow=dice.flip(0.2, "narrow-types"),
        unit=dice.choice(["ms", "us", "ns", "int96"]) if dice.on("timestamp-units") else "ms",
        footer=edits,
        twin=dice.choice(flat) if dice.flip(0.08, "twin-column") else None,
    )


def make_table(dice, name, nested, most_rows):
    """A random table."""
    columns = [Column("id", BIGINT, unique=True, required=True), Column("k", INTEGER)]
    columns += dice.sample(FLAT, dice.randint(4, 8))
    if not nested and dice.flip(0.5, "nan") and not any(column.nan for column in columns):
        columns.append(next(column for column in FLAT if column.nan))
    if nested:
        required = dice.flip(0.6, "required-fields")
        candidates = [
            Column("st", STRUCT, fields=struct_fields(required)),
            Column("a", ARRAY),
            Column("m", MAP),
            Column("sa", STRUCTS, fields=struct_fields(dice.flip(0.4, "required-fields"))),
        ]
        chances = {STRUCT: 0.85, ARRAY: 0.7, MAP: 0.7, STRUCTS: 0.4}
        columns += [
            column for column in candidates if dice.flip(chances[column.type], column.type.replace(" ", "-"))
        ]
    partitioned = dice.flip(0.7, "partitions")
    group = dice.choice(
        [Column("g", INTEGER), Column("g", VARCHAR), Column("g", DATE), Column("g", TIMESTAMP)]
    )
    columns.append(dataclasses.replace(group, required=partitioned))
    table_rows = dice.choice([0, 1]) if dice.flip(0.06, "empty-table") else dice.randint(3, most_rows)
    groups = [scalar(dice, group) if group.type != VARCHAR else dice.choice(GROUPS) for _ in range(3)]
    files, left, number = [], table_rows, 0
    while left > 0 or not files:
        here = min(left, dice.choice([1, 3, 6, 12, 40]))
        left -= here
        empty = [c.name for c in columns if not c.required and dice.flip(0.1, "null-columns")]
        # What a column's statistics say matters most where its values are few.
        few = {
            c.name: [value(dice, c), math.nan if c.nan and dice.on("nan") else value(dice, c)]
            for c in columns
            if dice.flip(0.35, "few-values")
        }
        rows = []
        for _ in range(here):
            number += 1
            row = {
                c.name: (
                    None if c.name in empty else dice.choice(few[c.name]) if c.name in few else value(dice, c)
                )
                for c in columns
            }
            row["id"] = number
            row["g"] = dice.choice(groups) if row["g"] is not None else None
            rows.append(row)
        plan = file_plan(dice, columns, here)
        leave_out = tuple(c for c in empty if dice.flip(0.5, "missing-columns"))
        files.append(File(tuple(rows), dataclasses.replace(plan, leave_out=leave_out)))
    if dice.flip(0.3, "empty-file"):
        files.insert(dice.randint(0, len(files)), File((), file_plan(dice, columns, 0)))
    empty = partitioned and dice.flip(0.5, "empty-partition")
    return Table(name, tuple(columns), tuple(files), forms(dice, columns, partitioned), partitioned, empty)


def forms(dice, columns, partitioned):
    """The forms in which the table is written; `plain` and `files` always."""
    found = ["files", "plain"]
    flat = not any(column.type in NESTED for column in columns)
    if flat and dice.on("form-csv"):
        found.append("csv")
    if dice.on("form-json"):
        found.append("json")
    if partitioned and dice.on("form-partitions"):
        found.append("partitions")
    if partitioned and columns[-1].type in (INTEGER, VARCHAR) and dice.on("form-projection"):
        found.append("projection")
    return tuple(found)


def make_tables(dice):
    """The tables of one data set: two flat ones, two with nested columns."""
    sizes = [(False, 40), (False, 15), (True, 20), (True, 8)]
    return [
        make_table(dice, f"t{at}", nested and dice.on("nested"), most)
        for at, (nested, most) in enumerate(sizes)
    ]
