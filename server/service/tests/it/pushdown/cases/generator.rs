//! The dice: one query of random shape, as a template.

use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

use super::{COLUMNS, Kind, LAKE, Output, constants, kind};

/// Throws them.
pub(super) struct Generator {
    pub(super) dice: StdRng,
    /// PostgreSQL means the same by it.
    pub(super) same: bool,
}

impl Generator {
    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from.choose(&mut self.dice).unwrap()
    }

    fn one_in(&mut self, n: u32) -> bool {
        self.dice.random_ratio(1, n)
    }

    fn table(&mut self) -> &'static str {
        self.pick(&["a", "b", "a", "b", "a", "b", "l"])
    }

    /// A column of a table under an alias.
    fn column(&mut self, alias: &str, table: &str, wanted: impl Fn(Kind) -> bool) -> Option<Output> {
        let names: Vec<&str> = COLUMNS
            .iter()
            .filter(|(name, _, kind)| wanted(*kind) && (table != "l" || LAKE.contains(name)))
            .map(|(name, ..)| *name)
            .collect();
        let name = *names.choose(&mut self.dice)?;
        Some((format!("{{{alias}.{name}}}"), kind(name)))
    }

    fn constant(&mut self, kind: Kind) -> String {
        match kind {
            Kind::Int => self.dice.random_range(-2..8).to_string(),
            _ => self.pick(constants(kind)).to_owned(),
        }
    }

    /// A value of a kind: mostly a column, else something computed.
    fn value(&mut self, alias: &str, table: &str, kind: Kind) -> String {
        let Some((column, _)) = self.column(alias, table, |found| found == kind) else {
            return self.constant(kind);
        };
        if !self.one_in(4) {
            return column;
        }
        match kind {
            Kind::Int => {
                let sign = self.pick(&["+", "-", "*"]);
                format!("({{{alias}.i4}} {sign} {})", self.constant(kind))
            }
            Kind::Decimal => {
                let sign = self.pick(&["+", "-", "*"]);
                format!("({column} {sign} {})", self.constant(kind))
            }
            Kind::Text if self.one_in(2) => format!("substr({column}, {}, 2)", self.dice.random_range(1..4)),
            Kind::Text => format!(
                "CASE WHEN {} THEN {column} ELSE {} END",
                self.condition(alias, table, 1),
                self.constant(kind)
            ),
            _ => column,
        }
    }

    fn condition(&mut self, alias: &str, table: &str, depth: u32) -> String {
        if depth < 2 && self.one_in(3) {
            let (left, right) = (
                self.condition(alias, table, depth + 1),
                self.condition(alias, table, depth + 1),
            );
            return match self.dice.random_range(0..3) {
                0 => format!("({left} AND {right})"),
                1 => format!("({left} OR {right})"),
                _ => format!("NOT ({left} OR {right})"),
            };
        }
        let (column, kind) = self.column(alias, table, |_| true).unwrap();
        let negated = if self.one_in(3) { "NOT " } else { "" };
        match self.dice.random_range(0..7) {
            0 => format!("{column} IS {negated}NULL"),
            _ if kind == Kind::Array || kind == Kind::MomentUtc => format!("{column} IS {negated}NULL"),
            1 if kind == Kind::Text => {
                let pattern = self.pick(&["a%", "%b%", "_", "__", "%ä", "it''s%", "A%%", "%"]);
                format!("{column} {negated}LIKE '{pattern}'")
            }
            2 if kind != Kind::Float => {
                let list: Vec<String> = (0..self.dice.random_range(1..4))
                    .map(|_| self.constant(kind))
                    .collect();
                format!("{column} {negated}IN ({})", list.join(", "))
            }
            3 if kind != Kind::Bool => {
                self.same &= kind != Kind::Float;
                format!(
                    "{column} {negated}BETWEEN {} AND {}",
                    self.constant(kind),
                    self.constant(kind)
                )
            }
            4 if kind == Kind::Bool => format!("{negated}{column}"),
            5 => {
                self.same &= kind != Kind::Float;
                let other = self.value(alias, table, kind);
                let sign = self.pick(&["=", "<>", "<", ">=", "IS DISTINCT FROM", "IS NOT DISTINCT FROM"]);
                format!("({column} {sign} {other})")
            }
            _ => {
                self.same &= kind != Kind::Float;
                let value = self.value(alias, table, kind);
                let sign = self.pick(&["=", "<>", "<", "<=", ">", ">="]);
                format!("{value} {sign} {}", self.constant(kind))
            }
        }
    }

    /// `x.k = y.k`, of one kind.
    fn equality(&mut self, tables: (&str, &str)) -> String {
        let keys = ["i4", "i4", "t", "n", "d", "id"];
        let more = [
            "i2", "i8", "nn", "v", "w", "c", "e", "b", "ts", "tz", "u", "s", "f",
        ];
        let both = tables.0 != "l" && tables.1 != "l";
        let name = if both && self.one_in(2) {
            let name = self.pick(&more);
            if matches!(name, "s" | "f") { "i4" } else { name }
        } else {
            self.pick(&keys)
        };
        // Also two columns of one kind, but not of one type.
        let other = match (name, both && self.one_in(3)) {
            ("i4", true) => self.pick(&["i2", "i8"]),
            ("t", true) => self.pick(&["v", "w", "c", "e"]),
            ("n", true) => "nn",
            _ => name,
        };
        format!("{{x.{name}}} = {{y.{other}}}")
    }

    fn filter(&mut self, alias: &str, table: &str) -> String {
        if self.one_in(3) {
            String::new()
        } else {
            format!(" WHERE {}", self.condition(alias, table, 0))
        }
    }

    /// What is selected, and the query with `@` in its place.
    pub(super) fn query(&mut self) -> (Vec<Output>, String) {
        match self.dice.random_range(0..10) {
            0 => self.rows(),
            1..=3 => self.join(),
            4 | 5 => self.groups(),
            6 | 7 => self.subquery(),
            8 => self.union(),
            _ => self.nested(),
        }
    }

    fn outputs(&mut self, sources: &[(&str, &str)], any: bool) -> Vec<Output> {
        let count = self.dice.random_range(1..5);
        let mut outputs = Vec::new();
        for _ in 0..count {
            let (alias, table) = *sources.choose(&mut self.dice).unwrap();
            let ordered = |kind| any || !matches!(kind, Kind::Float | Kind::Array);
            let (column, kind) = self.column(alias, table, ordered).unwrap();
            let computed = self.one_in(4) && !matches!(kind, Kind::Array | Kind::Float);
            let sql = if computed {
                self.value(alias, table, kind)
            } else {
                column
            };
            outputs.push((sql, kind));
        }
        outputs
    }

    /// ORDER BY everything, so that it is known which rows a limit takes.
    fn limit(&mut self, columns: usize) -> String {
        let mut keys = Vec::new();
        for at in 1..=columns {
            let (direction, nulls) = (self.pick(&["ASC", "DESC"]), self.pick(&["FIRST", "LAST"]));
            keys.push(format!("{at} {direction} NULLS {nulls}"));
        }
        let skip = if self.one_in(3) { " OFFSET 3" } else { "" };
        format!(
            " ORDER BY {}{skip} LIMIT {}",
            keys.join(", "),
            self.dice.random_range(1..30)
        )
    }

    fn rows(&mut self) -> (Vec<Output>, String) {
        let table = self.table();
        let limited = self.one_in(2);
        let outputs = self.outputs(&[("x", table)], !limited);
        let limit = if limited {
            self.limit(outputs.len())
        } else {
            String::new()
        };
        let distinct = if limited && self.one_in(2) {
            "DISTINCT "
        } else {
            ""
        };
        (
            outputs,
            format!(
                "SELECT {distinct}@ FROM [{table}] x{}{limit}",
                self.filter("x", table)
            ),
        )
    }

    fn join(&mut self) -> (Vec<Output>, String) {
        let tables = (self.pick(&["a", "b"]), self.table());
        let kind = self.pick(&["JOIN", "JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"]);
        let mut on = self.equality(tables);
        if kind != "FULL JOIN" && self.one_in(3) {
            let (alias, table) = if self.one_in(2) {
                ("x", tables.0)
            } else {
                ("y", tables.1)
            };
            on = format!("{on} AND {}", self.condition(alias, table, 1));
        }
        let mut from = format!("FROM [{}] x {kind} [{}] y ON {on}", tables.0, tables.1);
        if self.one_in(4) {
            from.push_str(" JOIN [b] z ON {z.id} = {x.id}");
        }
        let (alias, table) = if self.one_in(2) {
            ("x", tables.0)
        } else {
            ("y", tables.1)
        };
        let filter = self.filter(alias, table);
        let sources = [("x", tables.0), ("y", tables.1)];
        if self.one_in(3) {
            let keys = self.outputs(&sources[..1], false);
            return self.grouped(keys, &sources, &format!("{from}{filter}"));
        }
        let limited = self.one_in(3);
        let outputs = self.outputs(&sources, !limited);
        let limit = if limited {
            self.limit(outputs.len())
        } else {
            String::new()
        };
        (outputs, format!("SELECT @ {from}{filter}{limit}"))
    }

    /// Tables of the database on both sides of the lake's: those that hang on another one may move to it.
    pub(super) fn split(&mut self) -> (Vec<Output>, String) {
        let tables = (
            self.pick(&["a", "b"]),
            self.pick(&["a", "b"]),
            self.pick(&["a", "b"]),
        );
        let lake = self.equality((tables.0, "l"));
        let near = self.equality((tables.0, tables.1)).replace("{y.", "{z.");
        let mut from = format!(
            "FROM [{}] x JOIN [l] y ON {lake} JOIN [{}] z ON {near}",
            tables.0, tables.1
        );
        let mut sources = vec![("x", tables.0), ("y", "l"), ("z", tables.1)];
        if self.one_in(2) {
            let far = self
                .equality((tables.1, tables.2))
                .replace("{y.", "{w.")
                .replace("{x.", "{z.");
            let kind = self.pick(&["JOIN", "JOIN", "LEFT JOIN"]);
            from.push_str(&format!(" {kind} [{}] w ON {far}", tables.2));
            sources.push(("w", tables.2));
        }
        let (alias, table) = *sources.choose(&mut self.dice).unwrap();
        from.push_str(&self.filter(alias, table));
        if self.one_in(2) {
            let keys = self.outputs(&sources[..1], false);
            return self.grouped(keys, &sources, &from);
        }
        (self.outputs(&sources, true), format!("SELECT @ {from}"))
    }

    fn groups(&mut self) -> (Vec<Output>, String) {
        let table = self.table();
        let keys = if self.one_in(3) {
            Vec::new()
        } else {
            self.outputs(&[("x", table)], false)
        };
        let from = format!("FROM [{table}] x{}", self.filter("x", table));
        self.grouped(keys, &[("x", table)], &from)
    }

    fn grouped(&mut self, keys: Vec<Output>, sources: &[(&str, &str)], from: &str) -> (Vec<Output>, String) {
        let mut outputs = keys;
        let by: Vec<String> = (1..=outputs.len()).map(|at| at.to_string()).collect();
        for _ in 0..self.dice.random_range(1..4) {
            let (alias, table) = *sources.choose(&mut self.dice).unwrap();
            outputs.push(self.aggregate(alias, table));
        }
        let by = if by.is_empty() {
            String::new()
        } else {
            format!(" GROUP BY {}", by.join(", "))
        };
        let having = if self.one_in(4) {
            " HAVING count(*) > 1"
        } else {
            ""
        };
        let exact = outputs.iter().all(|(_, kind)| *kind != Kind::Float);
        let limit = if exact && self.one_in(3) {
            self.limit(outputs.len())
        } else {
            String::new()
        };
        (outputs, format!("SELECT @ {from}{by}{having}{limit}"))
    }

    fn aggregate(&mut self, alias: &str, table: &str) -> Output {
        let distinct = if self.one_in(4) { "DISTINCT " } else { "" };
        let filter = if self.one_in(5) {
            format!(" FILTER (WHERE {})", self.condition(alias, table, 1))
        } else {
            String::new()
        };
        let any = self.column(alias, table, |kind| kind != Kind::Array).unwrap();
        let (sql, kind) = match self.dice.random_range(0..7) {
            0 => ("count(*)".to_owned(), Kind::Int),
            1 if any.1 != Kind::Float => (format!("count({distinct}{})", any.0), Kind::Int),
            2 | 3 => {
                let wanted = |kind| {
                    matches!(
                        kind,
                        Kind::Int | Kind::Decimal | Kind::Text | Kind::Date | Kind::Moment | Kind::MomentUtc
                    )
                };
                let (column, kind) = self.column(alias, table, wanted).unwrap();
                (format!("{}({column})", self.pick(&["min", "max"])), kind)
            }
            4 => {
                let value = self.value(alias, table, Kind::Decimal);
                (format!("sum({distinct}{value})"), Kind::Decimal)
            }
            5 => (format!("sum({distinct}{{{alias}.i4}})"), Kind::Int),
            _ if table != "l" && self.one_in(2) => (
                format!("{}({{{alias}.b}})", self.pick(&["bool_and", "bool_or"])),
                Kind::Bool,
            ),
            _ => (format!("sum({{{alias}.n}})"), Kind::Decimal),
        };
        (format!("{sql}{filter}"), kind)
    }

    fn subquery(&mut self) -> (Vec<Output>, String) {
        let tables = (self.pick(&["a", "b"]), self.table());
        let negated = if self.one_in(3) { "NOT " } else { "" };
        let on = self.equality(tables);
        let inner = self.condition("y", tables.1, 1);
        let other = tables.1;
        let condition = match self.dice.random_range(0..6) {
            0 | 1 => format!("{negated}EXISTS (SELECT 1 FROM [{other}] y WHERE {on} AND {inner})"),
            2 => format!("{{x.i4}} {negated}IN (SELECT {{y.i4}} FROM [{other}] y WHERE {inner})"),
            3 => format!("{{x.t}} {negated}IN (SELECT {{y.t}} FROM [{other}] y WHERE {{y.t}} IS NOT NULL)"),
            4 => format!("{{x.n}} > (SELECT min({{y.n}}) FROM [{other}] y WHERE {inner})"),
            _ => format!("(SELECT count(*) FROM [{other}] y WHERE {{x.id}} = {{y.id}} AND {inner}) = 1"),
        };
        let besides = self.condition("x", tables.0, 1);
        let condition = if self.one_in(2) {
            format!("{condition} AND {besides}")
        } else {
            condition
        };
        if self.one_in(3) {
            let keys = self.outputs(&[("x", tables.0)], false);
            return self.grouped(
                keys,
                &[("x", tables.0)],
                &format!("FROM [{}] x WHERE {condition}", tables.0),
            );
        }
        let limited = self.one_in(3);
        let outputs = self.outputs(&[("x", tables.0)], !limited);
        let limit = if limited {
            self.limit(outputs.len())
        } else {
            String::new()
        };
        (
            outputs,
            format!("SELECT @ FROM [{}] x WHERE {condition}{limit}", tables.0),
        )
    }

    fn union(&mut self) -> (Vec<Output>, String) {
        let tables = (self.table(), self.table());
        let word = self.pick(&["UNION ALL", "UNION ALL", "UNION", "INTERSECT", "EXCEPT"]);
        let names = ["i4", "t", "n", "d"];
        let outputs: Vec<Output> = names
            .iter()
            .map(|name| (format!("{{q.{name}}}"), kind(name)))
            .collect();
        let side = |name: &str, filter: String| {
            format!("SELECT {{x.i4}} AS i4, {{x.t}} AS t, {{x.n}} AS n, {{x.d}} AS d FROM [{name}] x{filter}")
        };
        let (one, other) = (self.filter("x", tables.0), self.filter("x", tables.1));
        let both = format!("{} {word} {}", side(tables.0, one), side(tables.1, other));
        if self.one_in(2) {
            return self.grouped(
                outputs[1..2].to_vec(),
                &[("q", "l")],
                &format!("FROM ({}) q", with_id(&both)),
            );
        }
        (outputs, format!("SELECT @ FROM ({both}) q"))
    }

    /// Over groups, and over a limited order.
    fn nested(&mut self) -> (Vec<Output>, String) {
        let table = self.pick(&["a", "b"]);
        let filter = self.filter("x", table);
        if self.one_in(2) {
            let limit = self.limit(3);
            let inner = format!(
                "SELECT {{x.i4}} AS i4, {{x.t}} AS t, {{x.id}} AS id FROM [{table}] x{filter}{limit}"
            );
            let output = (
                self.pick(&["count(*)", "sum({q.i4})", "count(DISTINCT {q.t})", "max({q.id})"])
                    .to_owned(),
                Kind::Int,
            );
            return (vec![output], format!("SELECT @ FROM ({inner}) q"));
        }
        let inner = format!(
            "SELECT {{x.t}} AS t, count(*) AS id, max({{x.i4}}) AS i4 FROM [{table}] x{filter} GROUP BY 1"
        );
        let other = self.pick(&["a", "b"]);
        let outputs = vec![
            ("{q.t}".to_owned(), Kind::Text),
            ("{q.id}".to_owned(), Kind::Int),
            ("{y.n}".to_owned(), Kind::Decimal),
        ];
        let kind = self.pick(&["JOIN", "LEFT JOIN", "RIGHT JOIN"]);
        (
            outputs,
            format!("SELECT @ FROM ({inner}) q {kind} [{other}] y ON {{q.i4}} = {{y.i4}} AND {{q.id}} > 1"),
        )
    }
}

/// The columns that the table of the lake has, of a query that lacks one.
fn with_id(both: &str) -> String {
    format!("SELECT {{p.i4}} AS id, {{p.i4}} AS i4, {{p.t}} AS t, {{p.n}} AS n, {{p.d}} AS d FROM ({both}) p")
}
