"""How a benchmark talks to a peer: one JSON document a line on stdin, one answer a line on stdout.

The first argument is the configuration as JSON: `tables` (name and partition columns), and where their files are:
either `directory`, or `endpoint`, `access_key`, `secret_key`, `region` and `bucket` of an S3 store.

{"do": "open"}              a session with nothing in its caches; what this reads is not measured
{"do": "run", "sql": text}  seconds until all rows are in the client, and the rows as text
"""

import json
import sys
import time


def cell(value):
    """A value as text, alike for all peers."""
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)


def serve(version, open_session):
    """Answers until stdin ends. `open_session(config)` gives an object with `run(sql)` -> rows and `close()`."""
    config = json.loads(sys.argv[1])
    session = None
    answer({"version": version})
    for line in sys.stdin:
        request = json.loads(line)
        try:
            if request["do"] == "open":
                if session is not None:
                    session.close()
                session = open_session(config)
                answer({})
            else:
                begun = time.perf_counter()
                rows = session.run(request["sql"])
                seconds = time.perf_counter() - begun
                answer({"seconds": seconds, "rows": [[cell(value) for value in row] for row in rows]})
        except Exception as error:  # whatever a peer throws is its answer
            answer({"error": f"{type(error).__name__}: {error}"})
    if session is not None:
        session.close()


def answer(document):
    """One line."""
    print(json.dumps(document), flush=True)
