"""Compares answers: rows as sets with repetitions, or in order; numbers by value, whatever their types."""

import collections
import datetime
import decimal
import math

from fuzzing.schema import KEYS

SIGNIFICANT = decimal.Context(prec=11)


def plain(value):
    """A value as it is compared: -0 is 0, every NaN is one value, numbers are equal across types."""
    if value is None or isinstance(value, (bool, str, bytes)):
        return value if not isinstance(value, bool) else ("bool", value)
    if isinstance(value, int):
        return f"{value}" if abs(value) < 10**11 else f"={value}"
    if isinstance(value, float):
        if not math.isfinite(value):
            return f"{value}"
        if value == int(value) and abs(value) >= 10**11:
            return f"={int(value)}"
        return number(SIGNIFICANT.create_decimal(repr(value)))
    if isinstance(value, decimal.Decimal):
        if value == value.to_integral_value() and abs(value) >= 10**11:
            return f"={int(value)}"
        return number(SIGNIFICANT.create_decimal(value))
    if isinstance(value, datetime.datetime):
        return value.replace(tzinfo=None).isoformat(timespec="milliseconds")
    if isinstance(value, datetime.date):
        return f"{value.isoformat()}T00:00:00.000"
    if isinstance(value, dict):
        # DuckDB gives structs and maps as dictionaries; no struct has a field named like a key.
        is_map = all(key in KEYS for key in value)
        return entries(value.items()) if is_map else tuple(plain(entry) for entry in value.values())
    if isinstance(value, list) and value and isinstance(value[0], tuple):
        return entries(value)
    if isinstance(value, (list, tuple)):
        return tuple(plain(entry) for entry in value)
    return repr(value)


def entries(pairs):
    """The entries of a map, in one order."""
    return tuple(sorted((key, plain(value)) for key, value in pairs))


def number(value):
    """A decimal without zeros at its end; 0 has no sign."""
    return format(value.normalize(), "f") if value else "0"


def difference(ours, theirs, ordered):
    """What differs, in words, or None."""
    ours, theirs = [plain(tuple(row)) for row in ours], [plain(tuple(row)) for row in theirs]
    left, right = collections.Counter(ours), collections.Counter(theirs)
    if left != right:
        return f"{len(ours)} rows instead of {len(theirs)}" if len(ours) != len(theirs) else "other rows"
    if ordered and ours != theirs:
        return "another order"
    return None


def shown(rows, most=8):
    """Rows as text, the first ones of many."""
    text = "\n".join("  " + repr(tuple(row)) for row in sorted(rows, key=lambda row: repr(row))[:most])
    return text + (f"\n  ... of {len(rows)}" if len(rows) > most else "") if rows else "  (no rows)"
