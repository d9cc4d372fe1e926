"""One data set: makes it, asks its queries, judges, minimises. Runs in a process of its own."""

import collections
import dataclasses
import pathlib
import re

from fuzzing import files
from fuzzing.dice import Dice
from fuzzing.engines import Connection, Duck, Refused
from fuzzing.minimise import Minimiser
from fuzzing.oracles import (
    AGREE,
    DIFFERENT,
    Judge,
    LEDGER,
    Outcome,
    REFUSED,
    byte_faults,
    make_case,
    used_tables,
)
from fuzzing.schema import FilePlan, make_tables
from fuzzing.syntax import labels


@dataclasses.dataclass(frozen=True)
class Task:
    """What a process has to do: queries `start` to `end` of one data set."""

    url: str
    root: str
    seed: int
    number: int
    start: int
    end: int
    without: tuple
    minimise: int
    seconds: float
    verbose: bool = False


@dataclasses.dataclass
class Finding:
    """A difference: where it came from, and the smallest form that was found of it."""

    place: str
    kind: str
    oracle: str
    constructs: tuple
    detail: str
    script: str


@dataclasses.dataclass
class Result:
    """What came of a task."""

    statuses: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    refusals: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    # Where each refusal came first.
    examples: dict = dataclasses.field(default_factory=dict)
    unanswered: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    constructs: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    oracles: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    findings: list = dataclasses.field(default_factory=list)
    rows: int = 0
    statements: int = 0
    log: list = dataclasses.field(default_factory=list)


def reason(text):
    """A refusal without the names and numbers of its query."""
    text = re.sub(r"\s+", " ", text)
    text = re.sub(r"`[^`]*`|'[^']*'|\"[^\"]*\"", "'..'", text)
    text = re.sub(r"\b[rqt]\d+\b(\.\w+)?|\bm\d\b|\bc\d+\b", "..", text)
    return re.sub(r"\d+", "N", text)[:130]


class Campaign:
    """The run of one task."""

    def __init__(self, task):
        self.task, self.result = task, Result()
        self.name = f"s{task.seed}_{task.number}_{task.start}"
        self.root = pathlib.Path(task.root)
        self.tables = make_tables(Dice(f"{task.seed}/{task.number}", task.without))
        self.duck = Duck()
        self.connection = Connection(task.url, self.name)
        self.judge = Judge(self.connection, self.duck)
        self.minimiser = Minimiser(self.root, self.duck, self.connection, self.name, task.seconds)
        # The cases by their statements, and how many differences of a group were found.
        self.cases, self.groups = {}, collections.Counter()

    def run(self):
        """Asks everything; the result."""
        self.duck.load(self.tables)
        for table in self.tables:
            for form in table.forms:
                for statement in files.write(table, form, self.root / self.name):
                    self.connection.rows(statement)
        for index in range(self.task.start, self.task.end):
            if not self.ask(index):
                break
        self.read_ledger()
        self.result.statements = self.connection.statements
        self.connection.rows("USE default")
        self.connection.rows(f"DROP DATABASE {self.name} CASCADE")
        self.connection.close()
        return self.result

    def case(self, index):
        """The case of a number; it depends on the seed alone."""
        return make_case(Dice(f"{self.task.seed}/{self.task.number}/{index}", self.task.without), self.tables)

    def ask(self, index):
        """Asks one case; whether the next can be asked."""
        case = self.case(index)
        outcome = self.judge.check(case)
        result = self.result
        result.statuses[outcome.status] += 1
        result.oracles[case.oracle] += 1
        result.constructs.update(labels(case))
        if outcome.status == REFUSED:
            result.refusals[reason(outcome.detail)] += 1
            result.examples.setdefault(
                reason(outcome.detail), f"--data-set {self.task.number} --query {index}"
            )
        elif outcome.status == DIFFERENT:
            self.found(index, case, outcome)
        elif outcome.status != AGREE:
            result.unanswered[reason(outcome.detail)] += 1
        if outcome.status == AGREE and self.task.number is not None:
            statement = case.pair()[0]
            self.cases.setdefault(statement, (index, case))
        if self.task.verbose:
            print(
                f"{self.task.number}/{index} {outcome.status} {outcome.detail}\n  {case.pair()[0]}",
                flush=True,
            )
        return "connection refused" not in outcome.detail and "Unavailable" not in outcome.detail

    def found(self, index, case, outcome):
        """Keeps a difference, minimised while that is not done too often."""
        tables, as_values = [], None
        # Of one error, one case is enough.
        group = (outcome.kind, "" if outcome.ours or outcome.kind == "bytes" else reason(outcome.detail)[:60])
        self.groups[group] += 1
        most = self.task.minimise if group[1] == "" else min(1, self.task.minimise)
        minimised = self.groups[group] <= most and "Unavailable" not in outcome.detail
        if minimised:
            case, outcome = self.minimiser.query(case, outcome)
            as_values = self.minimiser.as_values(case, outcome, self.tables)
            if as_values is None:
                tables, case, outcome = self.with_less_data(case, outcome)
        place = f"--seed {self.task.seed} --data-set {self.task.number} --query {index}"
        if as_values:
            case, outcome = as_values
        if outcome.kind == "internal":
            outcome.ours = self.logged(outcome.detail)
        constructs = tuple(labels(case)) + (() if as_values else features(case, tables))
        if not minimised:
            constructs = ("not minimised", group[1])
        script = write_script(case, outcome, [] if as_values else tables)
        self.result.findings.append(
            Finding(place, outcome.kind, case.oracle, constructs, outcome.detail, script)
        )
        if minimised and self.task.verbose:
            print(f"{place}: {outcome.kind} {outcome.detail[:200]}\n{script}\n", flush=True)

    def logged(self, detail):
        """What the server's log says about the query that an error names."""
        query = re.search(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", detail)
        text = (self.root.parent / "log").read_text(errors="replace")
        lines = [line for line in text.splitlines() if "panicked" in line or query and query.group() in line]
        return "\n".join(f"  log: {line[:1500]}" for line in lines[-3:])

    def with_less_data(self, case, outcome):
        """The tables and case made smaller, in another database."""
        tables = [table for table in self.tables if table.name in dict(used_tables(case))]
        try:
            tables, outcome = self.minimiser.data(case, outcome, self.tables)
            case, outcome = self.minimiser.query(case, outcome)
        except Refused as refused:
            self.result.log.append(f"{self.name}: the data could not be minimised: {refused}")
        self.connection.rows(f"USE {self.name}")
        self.duck.load(self.tables)
        return tables, case, outcome

    def read_ledger(self):
        """Compares what was scanned with what was said."""
        if "bytes" in self.task.without:
            return
        seen = set()
        for query, detail in byte_faults(self.connection.rows(LEDGER.format(database=self.name))):
            if query in self.cases and query not in seen:
                seen.add(query)
                self.result.statuses[AGREE] -= 1
                self.result.statuses[DIFFERENT] += 1
                index, case = self.cases[query]
                self.found(index, case, Outcome(DIFFERENT, "bytes", detail, statements=(query,)))


def features(case, tables):
    """How the files of a case are written, where that is not the usual way."""
    used, usual, found = used_tables(case), FilePlan(), set()
    for table in tables:
        if any(name == table.name and form not in ("plain", "csv", "json") for name, form in used):
            for file in table.files:
                for name in (
                    "statistics",
                    "page_index",
                    "order",
                    "upper",
                    "leave_out",
                    "narrow",
                    "unit",
                    "twin",
                ):
                    if getattr(file.plan, name) != getattr(usual, name):
                        found.add("file-" + name.replace("_", "-"))
                found.update("file-" + name for name in file.plan.footer)
                if file.plan.group_rows < len(file.rows):
                    found.add("file-groups")
                if not file.rows:
                    found.add("file-empty")
            if table.empty_partition and any(
                name == table.name and form in ("partitions", "projection") for name, form in used
            ):
                found.add("empty-partition")
            if any(field.required for column in table.columns for field in column.fields):
                found.add("file-required-fields")
    return tuple(sorted(found))


def write_script(case, outcome, tables):
    """What shows the difference: the tables, the statements and both answers."""
    lines = []
    for table in tables:
        forms = sorted({form for name, form in used_tables(case) if name == table.name})
        columns = ", ".join(f"{column.name} {files.hive(column)}" for column in table.columns)
        required = [f"{c.name}.{f.name}" for c in table.columns for f in c.fields if f.required]
        lines.append(
            f"-- table {table.name} ({columns}), read as {', '.join(forms)}"
            + (f"; required: {required}" if required else "")
        )
        for file in table.files:
            usual = FilePlan()
            plan = {k: v for k, v in dataclasses.asdict(file.plan).items() if v != getattr(usual, k)}
            lines.append(f"--   file {plan}")
            for row in file.rows:
                lines.append(
                    "--     "
                    + repr(
                        tuple(
                            (
                                files.plain_text(row[c.name])
                                if c.type in ("date", "timestamp") and row[c.name] is not None
                                else row[c.name]
                            )
                            for c in table.columns
                        )
                    )
                )
    lines += [f"{statement};" for statement in outcome.statements]
    if outcome.ours or outcome.theirs:
        whose = "DuckDB" if case.oracle == "duckdb" else "the second statement"
        lines += ["-- Owlake:", outcome.ours, f"-- {whose}:", outcome.theirs]
    return "\n".join(lines)


def run(task):
    """Runs a task; for a pool of processes."""
    return Campaign(task).run()
