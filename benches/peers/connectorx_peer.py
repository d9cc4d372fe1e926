"""ConnectorX: a table of PostgreSQL as Arrow, over one connection and its binary protocol."""

import connectorx

import protocol


class Session:
    """Nothing is kept between queries."""

    def __init__(self, config):
        self.url = config["url"]

    def run(self, sql):
        """The number of rows, which are then in the client."""
        return [[connectorx.read_sql(self.url, sql, return_type="arrow", protocol="binary").num_rows]]

    def close(self):
        """Nothing to free."""


protocol.serve(connectorx.__version__, Session)
