"""Writes a logical table in each of its forms and says which statements define it.

Forms: `files` (Parquet, each file by its plan), `plain` (one Parquet file without statistics), `csv`, `json`,
`partitions` (Parquet, registered), `projection` (Parquet, computed from table properties).
"""

import dataclasses
import datetime
import decimal
import json
import math
import random

import pyarrow as pa
import pyarrow.parquet as pq

from fuzzing import footer
from fuzzing.schema import ARRAY, FilePlan, MAP, STRUCT, STRUCTS
from fuzzing.syntax import BIGINT, BOOLEAN, DATE, DECIMAL, DOUBLE, INTEGER, TIMESTAMP, VARCHAR

HIVE = {
    INTEGER: "int",
    VARCHAR: "string",
    ARRAY: "array<int>",
    MAP: "map<string,int>",
    DECIMAL: "decimal(12,2)",
}
ARROW = {
    INTEGER: pa.int32(),
    BIGINT: pa.int64(),
    DOUBLE: pa.float64(),
    DECIMAL: pa.decimal128(12, 2),
    VARCHAR: pa.string(),
    BOOLEAN: pa.bool_(),
    DATE: pa.date32(),
    TIMESTAMP: pa.timestamp("us"),
    ARRAY: pa.list_(pa.field("element", pa.int32())),
    MAP: pa.map_(pa.string(), pa.int32()),
}
NARROW = {BIGINT: pa.int32(), DOUBLE: pa.float32()}


def hive(column):
    """A column's type in DDL."""
    if column.type in (STRUCT, STRUCTS):
        text = "struct<" + ",".join(f"{field.name}:{hive(field)}" for field in column.fields) + ">"
        return text if column.type == STRUCT else f"array<{text}>"
    return HIVE.get(column.type, column.type)


def arrow(column):
    """A column's Arrow type."""
    if column.type in (STRUCT, STRUCTS):
        kind = pa.struct([pa.field(f.name, arrow(f), nullable=not f.required) for f in column.fields])
        return kind if column.type == STRUCT else pa.list_(pa.field("element", kind))
    return ARROW[column.type]


def arrow_table(table):
    """All rows, as DuckDB takes them."""
    fields = [pa.field(column.name, arrow(column)) for column in table.columns]
    return pa.Table.from_pylist(table.rows, schema=pa.schema(fields))


def moved(value, unit, at):
    """A timestamp with a part below a millisecond that rounds to it. INT96 has nanoseconds."""
    step = (0, 400, -400, -500)[at % 4]
    return value if value is None or unit == "ms" else value + datetime.timedelta(microseconds=step)


def column_array(column, rows, plan):
    """The values of one column as a file's plan has them, with the field."""
    values = [row[column.name] for row in rows]
    kind = arrow(column)
    if column.type == TIMESTAMP:
        values = [moved(value, plan.unit, at) for at, value in enumerate(values)]
        kind = pa.timestamp({"ms": "ms", "us": "us"}.get(plan.unit, "ns"))
    elif plan.narrow and column.name in ("v", "y") and column.type in NARROW:
        kind = NARROW[column.type]
    name = column.name.upper() if column.name in plan.upper else column.name
    return pa.field(name, kind), pa.array(values, kind)


def write_parquet(path, columns, rows, plan):
    """One Parquet file."""
    columns = [column for column in columns if column.name not in plan.leave_out]
    if plan.order:
        columns = random.Random(plan.order).sample(columns, len(columns))
    pairs = [column_array(column, rows, plan) for column in columns]
    names = [field.name for field, _ in pairs]
    if plan.twin in names:
        # A column that differs in the case of its name alone, and that the table does not mean.
        pairs.append((pa.field(plan.twin.upper(), pa.string()), pa.array(["other"] * len(rows), pa.string())))
    content = pa.table([array for _, array in pairs], schema=pa.schema([field for field, _ in pairs]))
    path.parent.mkdir(parents=True, exist_ok=True)
    # The last three belong together: pages are cut between batches of values.
    pages = {"data_page_size": 1, "write_batch_size": 2} if plan.small_pages else {}
    pq.write_table(
        content,
        path,
        row_group_size=plan.group_rows,
        use_dictionary=plan.dictionary,
        write_statistics=plan.statistics,
        write_page_index=plan.page_index,
        compression=plan.compression,
        data_page_version="2.0" if plan.version2 else "1.0",
        use_deprecated_int96_timestamps=plan.unit == "int96",
        store_schema=False,
        **pages,
    )
    if plan.footer:
        footer.change(path, plan.footer, texts_of_groups(pairs, plan.group_rows))


def texts_of_groups(pairs, group_rows):
    """The texts of each row group and column, in bytes."""
    found = {}
    for field, array in pairs:
        if field.type == pa.string():
            for at, text in enumerate(array.to_pylist()):
                if text is not None:
                    found.setdefault((at // group_rows, field.name), []).append(text.encode())
    return found


def plain_text(value):
    """A scalar in a text file, which knows no NULL here."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return (
            "NaN"
            if math.isnan(value)
            else ("-" if value < 0 else "") + "Infinity" if math.isinf(value) else repr(value)
        )
    if isinstance(value, datetime.datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S.") + f"{value.microsecond // 1000:03}"
    return str(value)


def json_value(column, value):
    """A value in a line of JSON."""
    if value is None or column.type in (INTEGER, BIGINT, BOOLEAN, VARCHAR, ARRAY):
        return value
    if column.type == STRUCT:
        return {field.name: json_value(field, value[field.name]) for field in column.fields}
    if column.type == STRUCTS:
        return [json_value(dataclasses.replace(column, type=STRUCT), entry) for entry in value]
    if column.type == MAP:
        return dict(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else plain_text(value)
    return float(value) if isinstance(value, decimal.Decimal) else plain_text(value)


def write_lines(folder, table, form):
    """A text file for each file of the table."""
    folder.mkdir(parents=True, exist_ok=True)
    for at, file in enumerate(table.files):
        lines = []
        for row in file.rows:
            if form == "csv":
                lines.append(
                    "\x01".join(
                        "\\N" if row[c.name] is None else plain_text(row[c.name]) for c in table.columns
                    )
                )
            else:
                lines.append(
                    json.dumps(
                        {c.name: json_value(c, row[c.name]) for c in table.columns}, ensure_ascii=False
                    )
                )
        (folder / f"part-{at}.txt").write_text("".join(line + "\n" for line in lines))


def partition_folder(value):
    """The name of a partition's folder, escaped as Hive does."""
    return "g=" + "".join(f"%{ord(c):02X}" if c in HIVE_ESCAPED or c < " " else c for c in value)


def write_partitions(folder, table):
    """A folder for each value of the last column; the values."""
    values = sorted({plain_text(row["g"]) for row in table.rows})
    for at, file in enumerate(table.files):
        for value in values:
            rows = [row for row in file.rows if plain_text(row["g"]) == value]
            if rows:
                place = folder / partition_folder(value)
                write_parquet(place / f"part-{at}.parquet", table.columns[:-1], rows, file.plan)
    return values


HIVE_ESCAPED = "\"#%'*/:=?\\{[]^\x7f"
# Values of partitions whose files have no rows; no row has them, and each type's order has them at an end.
EMPTY_PARTITION = {INTEGER: "99", VARCHAR: "zzz", DATE: "2030-01-01", TIMESTAMP: "2030-01-01 00:00:00.000"}


def write(table, form, root):
    """Writes one form of a table below `root`; the statements that define it."""
    name, folder = f"{table.name}_{form}", root / f"{table.name}_{form}"
    folder.mkdir(parents=True, exist_ok=True)
    columns = ", ".join(f"`{column.name}` {hive(column)}" for column in table.columns)
    location = f"LOCATION '{folder.as_uri()}/'"
    if form == "csv":
        write_lines(folder, table, form)
        return [f"CREATE EXTERNAL TABLE {name} ({columns}) {location}"]
    if form == "json":
        write_lines(folder, table, form)
        return [
            f"CREATE EXTERNAL TABLE {name} ({columns}) ROW FORMAT SERDE 'org.openx.data.jsonserde.JsonSerDe' {location}"
        ]
    if form == "plain":
        write_parquet(
            folder / "all.parquet", table.columns, table.rows, FilePlan(statistics=False, dictionary=False)
        )
        return [f"CREATE EXTERNAL TABLE {name} ({columns}) STORED AS PARQUET {location}"]
    if form == "files":
        for at, file in enumerate(table.files):
            write_parquet(folder / f"part-{at}.parquet", table.columns, file.rows, file.plan)
        return [f"CREATE EXTERNAL TABLE {name} ({columns}) STORED AS PARQUET {location}"]
    return write_partitioned(table, form, name, folder)


def write_partitioned(table, form, name, folder):
    """The forms `partitions` and `projection`."""
    values, group = write_partitions(folder, table), table.columns[-1]
    if table.empty_partition:
        empty = EMPTY_PARTITION[group.type]
        write_parquet(
            folder / partition_folder(empty) / "none.parquet", table.columns[:-1], [], table.files[0].plan
        )
        values = values + [empty]
    columns = ", ".join(f"`{column.name}` {hive(column)}" for column in table.columns[:-1])
    head = f"CREATE EXTERNAL TABLE {name} ({columns}) PARTITIONED BY (`g` {hive(group)}) STORED AS PARQUET"
    if form == "projection":
        kind = "'integer', 'projection.g.range' = '-50,100'"
        if group.type == VARCHAR:
            kind = f"'enum', 'projection.g.values' = '{','.join(values or ['none'])}'"
        properties = f"TBLPROPERTIES ('projection.enabled' = 'true', 'projection.g.type' = {kind})"
        return [f"{head} LOCATION '{folder.as_uri()}/' {properties}"]
    statements = [f"{head} LOCATION '{folder.as_uri()}/'"]
    for value in values:
        # A location is taken as it stands: nothing in it is an escape.
        place = f"{folder.as_uri()}/{partition_folder(value)}/"
        literal = value if group.type == INTEGER else f"'{value}'"
        statements.append(f"ALTER TABLE {name} ADD PARTITION (g = {literal}) LOCATION '{place}'")
    return statements
