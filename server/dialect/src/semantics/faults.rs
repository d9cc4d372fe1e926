//! DataFusion's errors of SQL class as faults with Trino's codes.

use std::error::Error;

use arrow::error::ArrowError;
use datafusion::common::SchemaError;
use datafusion::error::DataFusionError;
use owlake_fault::{Code, Fault, fault_of};

/// The fault behind an error: ours where one is in the chain, else the translation of DataFusion's own.
///
/// `None` for errors that are not about the statement (I/O, internal, object store); the caller knows better.
pub fn fault_from_datafusion(error: &DataFusionError) -> Option<Fault> {
    if let Some(fault) = fault_of(error) {
        return Some(fault.clone());
    }
    translate(error, 0)
}

/// Wrappers are a few deep at most; a cycle of `Shared` cannot be built, a hostile depth can.
const MAX_DEPTH: usize = 64;

fn translate(error: &DataFusionError, depth: usize) -> Option<Fault> {
    if depth > MAX_DEPTH {
        return None;
    }
    match error {
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => nested(inner, depth),
        DataFusionError::Shared(inner) => nested(inner, depth),
        DataFusionError::Collection(all) => all.iter().find_map(|e| nested(e, depth)),
        DataFusionError::External(inner) => from_source(inner.as_ref(), depth),
        DataFusionError::ArrowError(inner, _) => arrow(inner, depth),
        DataFusionError::SchemaError(inner, _) => Some(schema(inner)),
        DataFusionError::SQL(inner, _) => Some(Fault::new(Code::SyntaxError, clean(&inner.to_string()))),
        DataFusionError::Plan(text) => plan(text),
        DataFusionError::NotImplemented(text) => not_implemented(&clean(text)),
        DataFusionError::ResourcesExhausted(text) => Some(Fault::new(Code::ExceededMemoryLimit, clean(text))),
        DataFusionError::Execution(text) => execution(text),
        _ => None,
    }
}

fn nested(inner: &DataFusionError, depth: usize) -> Option<Fault> {
    fault_of(inner).cloned().or_else(|| translate(inner, depth + 1))
}

fn from_source(source: &(dyn Error + 'static), depth: usize) -> Option<Fault> {
    let mut next = Some(source);
    while let Some(e) = next {
        if let Some(inner) = e.downcast_ref::<DataFusionError>() {
            return nested(inner, depth);
        }
        if let Some(inner) = e.downcast_ref::<ArrowError>() {
            return arrow(inner, depth);
        }
        next = e.source();
    }
    None
}

fn arrow(error: &ArrowError, depth: usize) -> Option<Fault> {
    match error {
        ArrowError::ExternalError(inner) => fault_of(inner.as_ref())
            .cloned()
            .or_else(|| from_source(inner.as_ref(), depth + 1)),
        ArrowError::DivideByZero => Some(Fault::new(Code::DivisionByZero, "Division by zero")),
        ArrowError::ArithmeticOverflow(text) => Some(Fault::new(Code::NumericValueOutOfRange, clean(text))),
        ArrowError::CastError(text) => Some(Fault::new(Code::InvalidCastArgument, clean(text))),
        ArrowError::InvalidArgumentError(text) if text.contains("too large to store in a Decimal") => {
            Some(Fault::new(Code::InvalidCastArgument, clean(text)))
        }
        ArrowError::ComputeError(text) if text.contains("verflow") => {
            Some(Fault::new(Code::NumericValueOutOfRange, clean(text)))
        }
        _ => None,
    }
}

/// Whether `valid` is one of two columns that a subquery calls `name`.
fn is_hidden_twin(valid: &str, name: &str) -> bool {
    let shown = crate::query::shown_name(valid);
    shown != valid && shown == name
}

fn schema(error: &SchemaError) -> Fault {
    match error {
        SchemaError::FieldNotFound { field, valid_fields } => {
            if valid_fields
                .iter()
                .any(|valid| is_hidden_twin(&valid.name, &field.name))
            {
                return Fault::new(Code::SyntaxError, format!("Column '{}' is ambiguous", field.name));
            }
            let fault = Fault::new(
                Code::ColumnNotFound,
                format!("Column '{}' cannot be resolved", field.flat_name()),
            );
            let wanted = field.name.to_lowercase();
            let near = valid_fields
                .iter()
                .map(|c| (distance(&wanted, &c.name.to_lowercase()), &c.name))
                .filter(|(d, _)| *d <= 2.max(wanted.chars().count() / 3))
                .min();
            match near {
                Some((_, name)) => fault.with_hint(format!("Did you mean '{name}'?")),
                None => fault,
            }
        }
        SchemaError::AmbiguousReference { field } => {
            Fault::new(Code::SyntaxError, format!("Column '{}' is ambiguous", field.name))
        }
        SchemaError::DuplicateQualifiedField { name, .. }
        | SchemaError::DuplicateUnqualifiedField { name } => Fault::new(
            Code::SyntaxError,
            format!("Column name '{name}' specified more than once"),
        ),
    }
}

/// Words that only the engine's own structures have; a text with one of them says nothing to a user.
const ENGINE_WORDS: &[&str] = &[
    "Ident {",
    "Expr(",
    "Expr {",
    "Column {",
    "Field {",
    "__datafusion",
    "__correlated",
    "__always_true",
    "sqltorel",
    "Arrow error",
    "Schema error",
];

fn speaks_of_the_engine(text: &str) -> bool {
    ENGINE_WORDS.iter().any(|word| text.contains(word))
}

/// `None` where the text is no answer to a user: the caller reports a defect and logs it whole.
fn not_implemented(text: &str) -> Option<Fault> {
    if text.starts_with("Physical plan does not support") {
        let what = "this expression is not supported in this place";
        return Some(Fault::new(Code::NotSupported, what).with_hint("See docs/sql-differences.md"));
    }
    (!speaks_of_the_engine(text))
        .then(|| Fault::new(Code::NotSupported, text).with_hint("See docs/sql-differences.md"))
}

fn plan(text: &str) -> Option<Fault> {
    let fault = known_plan(text);
    (!speaks_of_the_engine(&fault.to_string())).then_some(fault)
}

fn known_plan(text: &str) -> Fault {
    let first = clean(text);
    if first.starts_with("Projections require unique expression names") {
        return Fault::new(Code::SyntaxError, "Two columns of one query have the same name")
            .with_hint("Give one of them an alias.");
    }
    // Of a function's own refusal the planner keeps the text, between words of its own.
    if let Some((_, rest)) = first.split_once("External error: TYPE_MISMATCH: ") {
        let own = rest.split(". No function matches").next().unwrap_or(rest);
        return Fault::new(Code::TypeMismatch, own);
    }
    if let Some(fault) = no_field(&first) {
        return fault;
    }
    if let Some(rest) = first.strip_prefix("Invalid function '") {
        return unknown_function(rest.split('\'').next().unwrap_or_default());
    }
    if let Some(name) = first.strip_prefix("There is no window function named ") {
        return unknown_function(name);
    }
    let types = [
        "coerce",
        "Cannot infer common",
        "does not support",
        "No function matches",
        "signature",
        "must be of the same type",
        "must be boolean",
        "non-boolean",
        "requires a boolean",
        "only supports",
        "Filter",
        "expects",
        "incompatible",
    ];
    if types.iter().any(|t| first.contains(t)) {
        return Fault::new(Code::TypeMismatch, first);
    }
    if first.starts_with("table '") && first.contains("not found") {
        return Fault::new(Code::TableNotFound, first);
    }
    Fault::new(Code::SyntaxError, first)
}

fn execution(text: &str) -> Option<Fault> {
    let text = clean(text);
    if let Some(fault) = no_field(&text) {
        return Some(fault);
    }
    if text.contains("calar subquery") || text.contains("more than one row") {
        let why = "Scalar sub-query has returned multiple rows";
        return Some(Fault::new(Code::SubqueryMultipleRows, why));
    }
    let code = if text.contains("verflow") {
        Code::NumericValueOutOfRange
    } else {
        return None;
    };
    Some(Fault::new(code, text))
}

/// `value.name` where the value is no row, or has no such field.
fn no_field(text: &str) -> Option<Fault> {
    if text.starts_with("Cannot access field at argument") {
        let why = "Expression is not of type ROW: only a row has fields";
        return Some(Fault::new(Code::TypeMismatch, why));
    }
    let name = text
        .strip_prefix("Field ")?
        .strip_suffix(" not found in struct")?;
    let why = format!("Column '{name}' cannot be resolved: the row has no such field");
    Some(Fault::new(Code::ColumnNotFound, why))
}

/// A function that is not registered: known to Athena but not built, or not known at all.
fn unknown_function(name: &str) -> Fault {
    let set = crate::functions::function_set();
    if let Some((known, reason)) = set.refused.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)) {
        return Fault::new(
            Code::NotSupported,
            format!("{known}: {reason}; see docs/sql-differences.md#functions-that-are-refused"),
        );
    }
    let fault = Fault::new(
        Code::FunctionNotFound,
        format!("Function '{name}' not registered"),
    );
    let wanted = name.to_lowercase();
    let names = set.names();
    let near = names
        .iter()
        .map(|n| (distance(&wanted, n), n))
        .filter(|(d, _)| *d <= 2)
        .min();
    match near {
        Some((_, near)) => fault.with_hint(format!("Did you mean '{near}'?")),
        None => fault,
    }
}

/// The first line, without DataFusion's own prefixes and backtraces.
fn clean(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default().trim();
    line.strip_prefix("sql parser error: ").unwrap_or(line).to_owned()
}

/// Edit distance, for short names.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut line: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = line[0];
        line[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let swap = diagonal + usize::from(x != *y);
            diagonal = line[j + 1];
            line[j + 1] = swap.min(diagonal + 1).min(line[j] + 1);
        }
    }
    line[b.len()]
}
