//! Queries at random over tables of PostgreSQL and one of the lake, each as Owlake and as PostgreSQL write it.
//!
//! In a template `{x.t}` is a column and `[a]` a table; what the two write differently is put in at the end.

mod generator;

use rand::SeedableRng;
use rand::rngs::StdRng;

use generator::Generator;

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Int,
    Decimal,
    Text,
    Bool,
    Date,
    Moment,
    MomentUtc,
    Uuid,
    Float,
    Array,
}

/// Columns of the tables `a` and `b`: name, type there, kind.
pub const COLUMNS: [(&str, &str, Kind); 19] = [
    ("id", "int", Kind::Int),
    ("i2", "smallint", Kind::Int),
    ("i4", "int", Kind::Int),
    ("i8", "bigint", Kind::Int),
    ("n", "numeric(12,3)", Kind::Decimal),
    ("nn", "numeric(5,1)", Kind::Decimal),
    ("t", "text", Kind::Text),
    ("v", "varchar(20) COLLATE en", Kind::Text),
    ("w", "text COLLATE loose", Kind::Text),
    ("c", "char(5)", Kind::Text),
    ("e", "mood", Kind::Text),
    ("b", "boolean", Kind::Bool),
    ("d", "date", Kind::Date),
    ("ts", "timestamp", Kind::Moment),
    ("tz", "timestamptz", Kind::MomentUtc),
    ("u", "uuid", Kind::Uuid),
    ("f", "float8", Kind::Float),
    ("r", "real", Kind::Float),
    ("s", "int[]", Kind::Array),
];

/// Those that the table `l` of the lake has too.
pub const LAKE: [&str; 5] = ["id", "i4", "n", "t", "d"];

/// A query in both dialects; PostgreSQL's is missing where it would mean something else there.
#[derive(Debug)]
pub struct Case {
    pub seed: u64,
    pub owlake: String,
    pub postgres: Option<String>,
}

/// An expression that is selected.
type Output = (String, Kind);

/// Constants that values of a kind are compared with.
fn constants(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Int => &["1", "7"],
        Kind::Decimal => &["0.5", "-1.25", "2.000", "3", "100.1"],
        Kind::Text => &[
            "''",
            "'a'",
            "'B'",
            "'ä'",
            "'it''s'",
            "'a\\b'",
            "'ok'",
            "'e\u{301}'",
            "'🦉'",
            "'A%'",
        ],
        Kind::Bool => &["true", "false"],
        Kind::Date => &["DATE '2026-01-02'", "DATE '1999-12-31'"],
        Kind::Moment => &[
            "TIMESTAMP '2026-01-02 00:00:00'",
            "TIMESTAMP '2026-01-01 10:00:00.000001'",
        ],
        Kind::Uuid => &[
            "'00000000-0000-0000-0000-000000000002'",
            "'a0000000-0000-0000-0000-00000000000f'",
        ],
        Kind::Float => &["1.5e0", "0e0", "-2e0"],
        Kind::MomentUtc | Kind::Array => &["NULL"],
    }
}

impl Case {
    /// Of any shape.
    pub fn new(seed: u64) -> Self {
        Self::of(seed, Generator::query)
    }

    /// Tables of the database on both sides of the lake's.
    pub fn split(seed: u64) -> Self {
        Self::of(seed, Generator::split)
    }

    fn of(seed: u64, query: impl Fn(&mut Generator) -> (Vec<Output>, String)) -> Self {
        let mut generator = Generator {
            dice: StdRng::seed_from_u64(seed),
            same: true,
        };
        let (outputs, body) = query(&mut generator);
        let list: Vec<String> = outputs
            .iter()
            .enumerate()
            .map(|(at, (sql, _))| format!("{sql} AS o{at}"))
            .collect();
        let inner = body.replace("@", &list.join(", "));
        let shown: Vec<String> = outputs
            .iter()
            .enumerate()
            .map(|(at, (_, kind))| shown(&format!("o{at}"), *kind))
            .collect();
        let unlike = outputs
            .iter()
            .any(|(_, kind)| matches!(kind, Kind::Float | Kind::Array));
        Self {
            seed,
            owlake: owlake(&inner),
            postgres: (generator.same && !unlike)
                .then(|| format!("SELECT {} FROM ({}) AS o", shown.join(", "), postgres(&inner))),
        }
    }
}

/// A value as the tests print it.
fn shown(name: &str, kind: Kind) -> String {
    let sql = match kind {
        Kind::Moment => format!("replace(to_char({name}, 'YYYY-MM-DD\"T\"HH24:MI:SS.US'), '.000000', '')"),
        Kind::MomentUtc => {
            format!(
                "replace(to_char({name} AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US'), '.000000', '') || 'Z'"
            )
        }
        _ => format!("{name}::text"),
    };
    format!("coalesce({sql}, 'NULL')")
}

fn owlake(template: &str) -> String {
    let tables = template
        .replace("[l]", "awsdatacatalog.default.l")
        .replace("[a]", "a")
        .replace("[b]", "b");
    tables.replace(['{', '}'], "")
}

fn postgres(template: &str) -> String {
    let mut sql = String::new();
    for part in template
        .replace("[l]", "l")
        .replace("[a]", "a")
        .replace("[b]", "b")
        .split('{')
    {
        let Some((column, rest)) = part.split_once('}') else {
            sql.push_str(part);
            continue;
        };
        let name = column.split_once('.').map_or(column, |(_, name)| name);
        match COLUMNS.iter().find(|(known, ..)| *known == name) {
            Some((_, _, Kind::Text)) => sql.push_str(&format!("({column}::text COLLATE \"C\")")),
            _ => sql.push_str(column),
        }
        sql.push_str(rest);
    }
    sql
}

fn kind(name: &str) -> Kind {
    COLUMNS.iter().find(|(known, ..)| *known == name).unwrap().2
}
