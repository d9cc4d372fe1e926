"""Changes to the footer of a Parquet file that pyarrow cannot make: statistics as other writers leave them.

A footer is one struct in Thrift's compact protocol; it is read into a tree without knowing its schema, changed
and written again. `no-null-count` takes the counts of NULLs out, `group-order` lists the row groups in another
order than they lie in the file, `truncated-bounds` shortens bounds of texts and says so, `signed-bounds` leaves
only the deprecated bounds, in the order of signed bytes, which no reader may believe for texts.
"""

import struct

TRUE, FALSE, BYTE, I64, BINARY, LIST, STRUCT = 1, 2, 3, 6, 8, 9, 12

# Places in the structs of Parquet's format.
ROW_GROUPS, CHUNKS, ORDINAL, META_DATA, KIND, PATH, STATISTICS = 4, 1, 7, 3, 1, 3, 12
BYTE_ARRAY = 6
MAX, MIN, NULL_COUNT, MAX_VALUE, MIN_VALUE, MAX_EXACT, MIN_EXACT = 1, 2, 3, 5, 6, 7, 8


class Reader:
    """Reads structs as `{field: (kind, value)}`, lists as `(kind of entries, entries)`."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def byte(self):
        self.at += 1
        return self.data[self.at - 1]

    def varint(self):
        value = shift = 0
        while True:
            byte = self.byte()
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    def value(self, kind):
        if kind in (TRUE, FALSE, BYTE):
            return self.byte()
        if kind in (4, 5, I64):
            return self.varint()
        if kind == 7:
            self.at += 8
            return self.data[self.at - 8 : self.at]
        if kind == BINARY:
            length = self.varint()
            self.at += length
            return self.data[self.at - length : self.at]
        if kind == LIST:
            head = self.byte()
            count = head >> 4
            count = self.varint() if count == 15 else count
            return (head & 15, [self.value(head & 15) for _ in range(count)])
        assert kind == STRUCT, f"kind {kind} is in no footer"
        return self.struct()

    def struct(self):
        fields, number = {}, 0
        while True:
            head = self.byte()
            if head == 0:
                return fields
            if head >> 4:
                number += head >> 4
            else:
                number = self.varint()
                number = (number >> 1) ^ -(number & 1)
            kind = head & 15
            fields[number] = (kind, None if kind in (TRUE, FALSE) else self.value(kind))


def varint(number):
    """An unsigned number in groups of seven bits."""
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


def written(kind, value):
    """The bytes of one value."""
    if kind in (TRUE, FALSE, BYTE):
        return bytes([value])
    if kind in (4, 5, I64):
        return varint(value)
    if kind == 7:
        return value
    if kind == BINARY:
        return varint(len(value)) + value
    if kind == LIST:
        inner, entries = value
        head = (
            bytes([len(entries) << 4 | inner])
            if len(entries) < 15
            else bytes([240 | inner]) + varint(len(entries))
        )
        return head + b"".join(written(inner, entry) for entry in entries)
    return written_struct(value)


def written_struct(fields):
    """The bytes of a struct; its fields ascend."""
    out, last = bytearray(), 0
    for number, (kind, value) in sorted(fields.items()):
        step = number - last
        out += bytes([step << 4 | kind]) if step < 16 else bytes([kind]) + varint(number << 1)
        out += b"" if kind in (TRUE, FALSE) else written(kind, value)
        last = number
    return bytes(out) + b"\0"


def columns(footer):
    """The metadata of every column chunk."""
    for group in footer[ROW_GROUPS][1][1]:
        for chunk in group[CHUNKS][1][1]:
            yield chunk[META_DATA][1]


def without_null_counts(footer, bounds):
    for column in columns(footer):
        if STATISTICS in column:
            column[STATISTICS][1].pop(NULL_COUNT, None)


def other_group_order(footer, bounds):
    kind, groups = footer[ROW_GROUPS][1]
    groups = groups[1::2] + groups[0::2]
    for at, group in enumerate(groups):
        group.pop(ORDINAL, None)
    footer[ROW_GROUPS] = (LIST, (kind, groups))


def text_statistics(footer):
    """The statistics of columns of texts, with the column's path and the number of its row group."""
    for at, group in enumerate(footer[ROW_GROUPS][1][1]):
        for chunk in group[CHUNKS][1][1]:
            column = chunk[META_DATA][1]
            if column[KIND][1] == BYTE_ARRAY << 1 and STATISTICS in column:
                yield at, b".".join(column[PATH][1][1]).decode(), column[STATISTICS][1]


def truncated_bounds(footer, bounds):
    for _, _, statistics in text_statistics(footer):
        if MAX_VALUE not in statistics or MIN_VALUE not in statistics:
            continue
        low, high = (statistics[place][1].decode() for place in (MIN_VALUE, MAX_VALUE))
        if len(low) > 1:
            statistics[MIN_VALUE], statistics[MIN_EXACT] = (BINARY, low[:1].encode()), (FALSE, None)
        if len(high) > 1:
            cut = chr(ord(high[0]) + 1).encode()
            statistics[MAX_VALUE], statistics[MAX_EXACT] = (BINARY, cut), (FALSE, None)
        for place in (MIN, MAX):
            statistics.pop(place, None)


def signed_bounds(footer, bounds):
    for at, path, statistics in text_statistics(footer):
        texts = bounds.get((at, path))
        for place in (MAX_VALUE, MIN_VALUE, MAX_EXACT, MIN_EXACT, MAX, MIN):
            statistics.pop(place, None)
        if texts:
            signed = sorted(texts, key=lambda text: [byte - 256 if byte > 127 else byte for byte in text])
            statistics[MIN], statistics[MAX] = (BINARY, signed[0]), (BINARY, signed[-1])


CHANGES = {
    "no-null-count": without_null_counts,
    "group-order": other_group_order,
    "truncated-bounds": truncated_bounds,
    "signed-bounds": signed_bounds,
}
# What looks row groups up by number comes before what moves them.
ORDER = ("no-null-count", "truncated-bounds", "signed-bounds", "group-order")


def change(path, names, bounds):
    """Rewrites the footer of a file; `bounds` has the texts of `(row group, column)`."""
    data = path.read_bytes()
    length = struct.unpack("<I", data[-8:-4])[0]
    footer = Reader(data[-8 - length : -8]).struct()
    for name in sorted(names, key=ORDER.index):
        CHANGES[name](footer, bounds)
    text = written_struct(footer)
    path.write_bytes(data[: -8 - length] + text + struct.pack("<I", len(text)) + b"PAR1")
