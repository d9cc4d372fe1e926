//! The file of static tokens: one `name:token` or bare token a line, `#` for comments.

use owlake_engine::Principal;

/// Shorter tokens could be guessed over the network.
const MIN_TOKEN_LENGTH: usize = 16;

/// Why a token file is refused. No text shows a token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenFileError {
    /// Nobody could log in.
    #[error("the token file has no token; write one `name:token` a line")]
    Empty,
    /// A name that cannot stand in a log line.
    #[error("line {line} of the token file: a name has letters, digits, `_`, `-`, `.` and `@`")]
    Name {
        /// Line, from 1.
        line: usize,
    },
    /// A token that is too easy to guess, or no header value.
    #[error(
        "line {line} of the token file: a token has at least {MIN_TOKEN_LENGTH} visible ASCII characters"
    )]
    Token {
        /// Line, from 1.
        line: usize,
    },
    /// A token that looks like one of the handshake's.
    #[error("line {line} of the token file: a token must not begin with `{prefix}`")]
    Reserved {
        /// Line, from 1.
        line: usize,
        /// The reserved beginning.
        prefix: &'static str,
    },
    /// Two lines with one name or one token.
    #[error("line {line} of the token file: its name or token was there before")]
    Twice {
        /// Line, from 1.
        line: usize,
    },
}

/// One line. Has no `Debug`: it would show the token.
pub(super) struct StaticToken {
    /// `None` accepts any user name.
    pub(super) name: Option<String>,
    pub(super) token: String,
}

impl StaticToken {
    pub(super) fn principal(&self) -> Principal {
        Principal(self.name.clone().unwrap_or_else(|| "token".to_owned()))
    }
}

pub(super) fn parse(text: &str, reserved: &'static str) -> Result<Vec<StaticToken>, TokenFileError> {
    let mut tokens: Vec<StaticToken> = Vec::new();
    for (at, content) in text.lines().enumerate() {
        let (line, content) = (at + 1, content.trim());
        if content.is_empty() || content.starts_with('#') {
            continue;
        }
        let (name, token) = match content.split_once(':') {
            Some((name, token)) => (Some(name.trim().to_owned()), token.trim()),
            None => (None, content),
        };
        let in_name = |c: char| c.is_ascii_alphanumeric() || "_-.@".contains(c);
        if name
            .as_deref()
            .is_some_and(|name| name.is_empty() || !name.chars().all(in_name))
        {
            return Err(TokenFileError::Name { line });
        }
        if token.len() < MIN_TOKEN_LENGTH || !token.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(TokenFileError::Token { line });
        }
        if token.starts_with(reserved) {
            return Err(TokenFileError::Reserved {
                line,
                prefix: reserved,
            });
        }
        let token = StaticToken {
            name,
            token: token.to_owned(),
        };
        let same = |known: &StaticToken| known.token == token.token || known.principal() == token.principal();
        if tokens.iter().any(same) {
            return Err(TokenFileError::Twice { line });
        }
        tokens.push(token);
    }
    if tokens.is_empty() {
        Err(TokenFileError::Empty)
    } else {
        Ok(tokens)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RESERVED: &str = "reserved-";

    fn refusal(text: &str) -> TokenFileError {
        parse(text, RESERVED).err().unwrap()
    }

    #[test]
    fn names_and_bare_tokens_are_read_and_comments_skipped() {
        let tokens = parse(
            "# staff\n\n ana : aaaaaaaaaaaaaaaa:with:colons \nbbbbbbbbbbbbbbbb\n",
            RESERVED,
        )
        .unwrap();
        assert_eq!(tokens[0].principal(), Principal("ana".to_owned()));
        assert_eq!(tokens[0].token, "aaaaaaaaaaaaaaaa:with:colons");
        assert_eq!(tokens[1].principal(), Principal("token".to_owned()));
    }

    #[test]
    fn bad_lines_are_named_without_their_token() {
        assert_eq!(refusal("# none\n"), TokenFileError::Empty);
        assert_eq!(refusal("\nana:short"), TokenFileError::Token { line: 2 });
        assert_eq!(
            refusal("ana:sixteen characters with spaces"),
            TokenFileError::Token { line: 1 }
        );
        assert_eq!(refusal("a b:aaaaaaaaaaaaaaaa"), TokenFileError::Name { line: 1 });
        assert_eq!(refusal(":aaaaaaaaaaaaaaaa"), TokenFileError::Name { line: 1 });
        assert_eq!(
            refusal("ana:reserved-aaaaaaaaaaaaaaaa"),
            TokenFileError::Reserved {
                line: 1,
                prefix: RESERVED
            }
        );
        assert_eq!(
            refusal("a:aaaaaaaaaaaaaaaa\na:bbbbbbbbbbbbbbbb"),
            TokenFileError::Twice { line: 2 }
        );
        assert_eq!(
            refusal("a:aaaaaaaaaaaaaaaa\nb:aaaaaaaaaaaaaaaa"),
            TokenFileError::Twice { line: 2 }
        );
        assert!(!refusal("ana:short").to_string().contains("short"));
    }
}
