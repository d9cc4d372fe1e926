//! CREATE, DROP and SHOW CREATE CATALOG, and their texts without what may be secret.

use std::borrow::Cow;

use super::cursor::Cursor;
use super::lexer::{Kind, Token, tokenize};
use crate::DialectError;
use crate::catalogs::{CatalogCommand, CatalogProperties};
use crate::statement::Command;

/// What stands where a secret could.
const MASK: &str = "'***'";

/// The statement at the cursor, when it is about a catalog.
pub(super) fn statement(cursor: &mut Cursor) -> Option<Result<Command, DialectError>> {
    let read = if cursor.accept(&["CREATE", "CATALOG"]) {
        create(cursor)
    } else if cursor.accept(&["DROP", "CATALOG"]) {
        let if_exists = cursor.accept(&["IF", "EXISTS"]);
        name(cursor).map(|name| CatalogCommand::Drop { if_exists, name })
    } else if cursor.accept(&["SHOW", "CREATE", "CATALOG"]) {
        name(cursor).map(|name| CatalogCommand::ShowCreate { name })
    } else {
        return None;
    };
    Some(read.map(Command::Catalog))
}

fn create(cursor: &mut Cursor) -> Result<CatalogCommand, DialectError> {
    let if_not_exists = cursor.accept(&["IF", "NOT", "EXISTS"]);
    let name = name(cursor)?;
    cursor.expect(&["USING"])?;
    let connector = cursor.identifier("a connector's name")?;
    let properties = if cursor.accept(&["WITH"]) {
        properties(cursor)?
    } else {
        CatalogProperties::default()
    };
    // Whatever is left over may be part of a secret.
    if !matches!(cursor.peek(), Kind::End | Kind::Symbol(';')) {
        return Err(misplaced(cursor, "the end of the statement"));
    }
    Ok(CatalogCommand::Create {
        if_not_exists,
        name,
        connector,
        properties,
    })
}

/// A bare word, or text in any quotes; lower case.
fn name(cursor: &mut Cursor) -> Result<String, DialectError> {
    match cursor.peek() {
        Kind::Double(text) => {
            let name = text.to_lowercase();
            cursor.advance();
            Ok(name)
        }
        _ => cursor.identifier("a catalog name"),
    }
}

/// `(k = 'v', ...)`
fn properties(cursor: &mut Cursor) -> Result<CatalogProperties, DialectError> {
    let symbol = |cursor: &mut Cursor, symbol| match cursor.accept_symbol(symbol) {
        true => Ok(()),
        false => Err(misplaced(cursor, &format!("'{symbol}'"))),
    };
    symbol(cursor, '(')?;
    let mut found = Vec::<(String, String)>::new();
    loop {
        let place = cursor.location();
        let key = match cursor.advance() {
            Kind::Word(key) | Kind::Backtick(key) | Kind::Double(key) => key.to_lowercase(),
            _ => return Err(DialectError::syntax("a property has a name", place)),
        };
        symbol(cursor, '=')?;
        let value = match cursor.peek() {
            Kind::Single(text) | Kind::Number(text) => text.clone(),
            Kind::Word(word) if ["true", "false"].contains(&word.to_lowercase().as_str()) => {
                word.to_lowercase()
            }
            _ => return Err(misplaced(cursor, "a value in single quotes")),
        };
        cursor.advance();
        if found.iter().any(|(known, _)| *known == key) {
            return Err(DialectError::syntax("a property is there twice", place));
        }
        found.push((key, value));
        if !cursor.accept_symbol(',') {
            break;
        }
    }
    symbol(cursor, ')')?;
    Ok(CatalogProperties(found))
}

/// As `unexpected`, without what is there.
fn misplaced(cursor: &Cursor, expected: &str) -> DialectError {
    match cursor.peek() {
        Kind::Broken(what) => DialectError::syntax(*what, cursor.location()),
        _ => DialectError::syntax(
            format!("mismatched input, expecting {expected}"),
            cursor.location(),
        ),
    }
}

/// The text of a statement as histories and logs may keep it. CREATE CATALOG loses its comments, and of everything
/// behind WITH all but the names of properties and references to secrets; other statements stay as they are.
pub fn masked(text: &str) -> Cow<'_, str> {
    if super::first_word(text).is_none_or(|word| word != "CREATE") {
        return Cow::Borrowed(text);
    }
    let tokens = tokenize(text);
    let word = |at: usize, expected: &str| matches!(tokens.get(at).map(|t| &t.kind), Some(Kind::Word(w)) if w.eq_ignore_ascii_case(expected));
    if !word(1, "CATALOG") {
        return Cow::Borrowed(text);
    }
    let mut out = String::new();
    let mut open = true;
    for (at, token) in tokens.iter().enumerate() {
        let key = matches!(tokens.get(at + 1).map(|t| &t.kind), Some(Kind::Symbol('=')));
        let shown = shown(token, open || key);
        let tight = out.is_empty() || out.ends_with('(') || [")", ",", ";", ""].contains(&shown.as_str());
        if !tight {
            out.push(' ');
        }
        out.push_str(&shown);
        open = open && !(at > 1 && word(at, "WITH"));
    }
    Cow::Owned(out)
}

fn shown(token: &Token, open: bool) -> String {
    match &token.kind {
        Kind::Word(word) if open => word.clone(),
        Kind::Backtick(name) | Kind::Double(name) if open => format!("\"{name}\""),
        Kind::Single(text) if is_reference(text) => format!("'{text}'"),
        Kind::Symbol(symbol) if "(),=;".contains(*symbol) => symbol.to_string(),
        Kind::End => String::new(),
        _ => MASK.to_owned(),
    }
}

/// `${ENV:NAME}` or `${FILE:/path}` and nothing else.
fn is_reference(text: &str) -> bool {
    let inner = text.strip_prefix("${").and_then(|text| text.strip_suffix('}'));
    let name = inner.and_then(|text| text.strip_prefix("ENV:").or_else(|| text.strip_prefix("FILE:")));
    name.is_some_and(|name| !name.contains(['$', '{', '}']))
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;

    fn read(text: &str) -> Result<CatalogCommand, DialectError> {
        let word = super::super::first_word(text).unwrap();
        match parse(&word, text).unwrap()? {
            Command::Catalog(command) => Ok(command),
            other => panic!("{text} is {other:?}"),
        }
    }

    #[test]
    fn statements_over_catalogs_are_read() {
        let text = "create catalog if not exists \"Pg\" USING PostgreSQL WITH (Connection_URL = 'u', \"max_connections\" = 5);";
        let pairs = [("connection_url", "u"), ("max_connections", "5")];
        let properties = pairs.map(|(k, v)| (k.to_owned(), v.to_owned())).to_vec();
        let (name, connector) = ("pg".to_owned(), "postgresql".to_owned());
        assert_eq!(
            read(text).unwrap(),
            CatalogCommand::Create {
                if_not_exists: true,
                name: name.clone(),
                connector,
                properties: CatalogProperties(properties),
            }
        );
        let drop = |if_exists| CatalogCommand::Drop {
            if_exists,
            name: name.clone(),
        };
        assert_eq!(read("DROP CATALOG pg").unwrap(), drop(false));
        assert_eq!(read("DROP CATALOG IF EXISTS `pg`").unwrap(), drop(true));
        assert_eq!(
            read("SHOW CREATE CATALOG pg").unwrap(),
            CatalogCommand::ShowCreate { name: name.clone() }
        );
    }

    #[test]
    fn no_text_shows_what_may_be_a_secret() {
        for text in [
            "CREATE CATALOG pg USING postgresql WITH (password = 'hunter2')",
            "/* x */ create\ncatalog pg using postgresql with (connection_url = 'postgresql://u:hunter2@h/d')",
            "CREATE CATALOG pg USING postgresql WITH (password 'hunter2')",
            "CREATE CATALOG pg USING postgresql WITH (password = hunter2)",
            "CREATE CATALOG pg USING postgresql WITH (password = \"hunter2\")",
            "CREATE CATALOG pg USING postgresql WITH (password = 'a' hunter2)",
            "CREATE CATALOG pg USING postgresql WITH (password = 'a') 'hunter2'",
            "CREATE CATALOG pg USING postgresql WITH (password = 'a', password = 'hunter2')",
            "CREATE CATALOG pg USING postgresql WITH ('hunter2' = 'a')",
            "CREATE CATALOG pg USING postgresql WITH (password = 'a\\'hunter2') -- hunter2",
            "CREATE CATALOG pg USING postgresql WITH (password = 'hunter2",
            "CREATE CATALOG pg USING postgresql WITH (password = '${ENV:A}hunter2')",
            "CREATE CATALOG WITH USING postgresql WITH (password = 'hunter2')",
        ] {
            let shown = masked(text);
            assert!(!shown.contains("hunter2"), "{text} is shown as {shown}");
            match read(text) {
                Err(error) => assert!(!error.to_string().contains("hunter2"), "{text}: {error}"),
                Ok(command) => assert!(!format!("{command:?}").contains("hunter2"), "{text}"),
            }
        }
        assert_eq!(
            masked(
                "CREATE CATALOG IF NOT EXISTS pg USING postgresql -- mine\nWITH (user = 'u', password='${FILE:/pw}')"
            ),
            "CREATE CATALOG IF NOT EXISTS pg USING postgresql WITH (user = '***', password = '${FILE:/pw}')"
        );
        for text in [
            "SELECT 'hunter2' AS c",
            "CREATE TABLE catalog (a int)",
            "DROP CATALOG x",
        ] {
            assert_eq!(masked(text), text);
        }
    }
}
