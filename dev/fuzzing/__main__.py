"""Random queries against DuckDB and against themselves: `dev/fuzz --help`; README.md says what is generated."""

import argparse
import collections
import concurrent.futures
import multiprocessing
import os
import sys
import time

from fuzzing.campaign import Task, run
from fuzzing.engines import Server

# Queries of one data set; making one takes as long as a few dozen queries.
PER_DATA_SET = 200


def arguments():
    """The command line."""
    parser = argparse.ArgumentParser(prog="dev/fuzz", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=2000, help="cases; most are one query to each engine")
    parser.add_argument("--jobs", type=int, default=2, help="processes that ask the one server")
    parser.add_argument(
        "--without",
        action="append",
        default=[],
        metavar="NAME[,NAME]",
        help="constructs or oracles to leave out",
    )
    parser.add_argument("--only-oracle", metavar="NAME", help="duckdb, tlp, norec, forms or repeat")
    parser.add_argument("--data-set", type=int, help="one data set of the seed")
    parser.add_argument("--query", type=int, help="one query of it")
    parser.add_argument(
        "--minimise", type=int, default=2, metavar="N", help="differences of a kind to minimise, per data set"
    )
    parser.add_argument("--seconds", type=float, default=15, help="time for a step of the minimiser")
    parser.add_argument("--show", type=int, default=40, help="groups of differences to print")
    parser.add_argument("--verbose", action="store_true", help="print every query")
    parser.add_argument("--constructs", action="store_true", help="print how often each construct came")
    return parser.parse_args()


ORACLES = ("duckdb", "tlp", "norec", "forms", "repeat")


def tasks(options, server):
    """The work, cut so that it does not depend on the number of processes."""
    without = {name for names in options.without for name in names.split(",")}
    if options.only_oracle:
        without |= set(ORACLES) - {options.only_oracle}
    rest = (tuple(sorted(without)), options.minimise, options.seconds, options.verbose)
    if options.data_set is not None:
        start, end = (options.query, options.query + 1) if options.query is not None else (0, PER_DATA_SET)
        return [Task(server.url, str(server.lake), options.seed, options.data_set, start, end, *rest)]
    return [
        Task(
            server.url,
            str(server.lake),
            options.seed,
            number,
            0,
            min(PER_DATA_SET, options.count - number * PER_DATA_SET),
            *rest,
        )
        for number in range((options.count + PER_DATA_SET - 1) // PER_DATA_SET)
    ]


def print_findings(findings, most):
    """One example of each group of differences, those that came most often first."""
    groups = collections.defaultdict(list)
    for finding in findings:
        groups[(finding.kind, finding.constructs)].append(finding)
    order = sorted(groups.items(), key=lambda group: (-len(group[1]), group[0]))
    for (kind, constructs), group in order[:most]:
        example = min(group, key=lambda finding: (len(finding.script), finding.place))
        print(f"\n--- {kind} ({example.oracle}) x{len(group)}: {', '.join(constructs)}")
        print(f"-- dev/fuzz {example.place}: {example.detail[:300]}")
        print(example.script)
    if len(order) > most:
        print(f"\n... and {len(order) - most} more groups")


def print_counter(title, counter, most=60, examples=None):
    """Counts, the largest first, with a place for each."""
    if counter:
        print(f"\n{title}")
        for text, count in sorted(counter.items(), key=lambda pair: (-pair[1], pair[0]))[:most]:
            place = f"  [{examples[text]}]" if examples else ""
            print(f"  {count:6}  {text}{place}")


def main():
    """Runs all data sets; exit code 1 where a difference was found."""
    options, begun = arguments(), time.monotonic()
    server = Server(os.environ["OWLAKE_BINARY"])
    context = multiprocessing.get_context("spawn")
    results = []
    try:
        with concurrent.futures.ProcessPoolExecutor(options.jobs, mp_context=context) as pool:
            for result in pool.map(run, tasks(options, server)):
                results.append(result)
                for line in result.log:
                    print(line)
                # A run that is ended early has said at least where to look.
                for finding in result.findings:
                    print(
                        f"{finding.kind}: {finding.place}: {finding.detail[:100]}",
                        file=sys.stderr,
                        flush=True,
                    )
        if server.ended():
            print(f"THE SERVER ENDED: {server.last_words()}")
    finally:
        ended = server.ended()
        server.stop()
    seconds = time.monotonic() - begun
    findings = [finding for result in results for finding in result.findings]
    total = {
        name: sum((getattr(r, name) for r in results), collections.Counter())
        for name in ("statuses", "refusals", "unanswered", "constructs", "oracles")
    }
    print_findings(findings, options.show)
    examples = {}
    for result in reversed(results):
        examples.update(result.examples)
    print_counter("refused:", total["refusals"], examples=examples)
    print_counter("not compared:", total["unanswered"], 10)
    if options.constructs:
        print_counter("constructs:", total["constructs"], 200)
    cases, statements = sum(total["oracles"].values()), sum(result.statements for result in results)
    statuses = ", ".join(f"{count} {status}" for status, count in sorted(total["statuses"].items()))
    oracles = ", ".join(f"{count} {name}" for name, count in sorted(total["oracles"].items()))
    kinds = collections.Counter(finding.kind for finding in findings)
    if kinds:
        print("\ndifferences: " + ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items())))
    print(
        f"\nseed {options.seed}: {cases} cases ({oracles}), {statements} statements in {seconds:.0f} s: {statuses}"
    )
    return 1 if findings or ended else 0


if __name__ == "__main__":
    sys.exit(main())
