//! A small JSON reader over text: finds a value by path and copies it, without building a tree.
//!
//! Numbers keep their digits, which a tree of `f64` would lose.

/// Deepest nesting that is read; deeper text counts as malformed.
const MAX_DEPTH: usize = 128;

/// The text is not JSON (or nested too deep).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Malformed;

/// One step of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// Member of an object; also an index when the value is an array and the name is digits.
    Name(String),
    /// Element of an array, from 0.
    Index(usize),
}

/// Kind of a value, by its first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// `{}`
    Object,
    /// `[]`
    Array,
    /// `""`
    Text,
    /// digits
    Number,
    /// `true`, `false`
    Boolean,
    /// `null`
    Null,
}

/// Parses `$`, `$.a.b`, `$["a b"]`, `$.a[0]`. `None`: a form that is not read (wildcards, filters, descent).
pub(super) fn parse_path(path: &str) -> Option<Vec<Step>> {
    let mut rest = path.trim().strip_prefix('$')?;
    let mut steps = Vec::new();
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix('.') {
            let end = after.find(['.', '[']).unwrap_or(after.len());
            let name = &after[..end];
            if name.is_empty()
                || !name
                    .chars()
                    .all(|c| c.is_alphanumeric() || matches!(c, '_' | '$' | ':' | '-'))
            {
                return None;
            }
            steps.push(Step::Name(name.to_owned()));
            rest = &after[end..];
        } else {
            let after = rest.strip_prefix('[')?;
            if let Some(quoted) = after.strip_prefix('"') {
                let end = quoted.find('"')?;
                if quoted[..end].contains('\\') {
                    return None;
                }
                steps.push(Step::Name(quoted[..end].to_owned()));
                rest = quoted[end + 1..].strip_prefix(']')?;
            } else {
                let end = after.find(']')?;
                steps.push(Step::Index(after[..end].parse().ok()?));
                rest = &after[end + 1..];
            }
        }
    }
    Some(steps)
}

/// A place in the text.
#[derive(Debug, Clone)]
pub(super) struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    /// Checks the whole text and stands before its value.
    pub(super) fn new(text: &'a str) -> Result<Self, Malformed> {
        let mut check = Reader { text, at: 0 };
        check.value(0)?;
        check.blank();
        if check.at != text.len() {
            return Err(Malformed);
        }
        let mut start = Reader { text, at: 0 };
        start.blank();
        Ok(start)
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn blank(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn expect(&mut self, byte: u8) -> Result<(), Malformed> {
        self.blank();
        if self.peek() != Some(byte) {
            return Err(Malformed);
        }
        self.at += 1;
        Ok(())
    }

    /// Kind of the value here.
    pub(super) fn kind(&self) -> Result<Kind, Malformed> {
        match self.peek().ok_or(Malformed)? {
            b'{' => Ok(Kind::Object),
            b'[' => Ok(Kind::Array),
            b'"' => Ok(Kind::Text),
            b't' | b'f' => Ok(Kind::Boolean),
            b'n' => Ok(Kind::Null),
            b'-' | b'0'..=b'9' => Ok(Kind::Number),
            _ => Err(Malformed),
        }
    }

    /// Reads past one value and returns its text.
    fn value(&mut self, depth: usize) -> Result<&'a str, Malformed> {
        self.blank();
        let start = self.at;
        match self.kind()? {
            Kind::Text => {
                self.quoted()?;
            }
            Kind::Number => self.number()?,
            Kind::Boolean | Kind::Null => {
                let rest = &self.text[self.at..];
                let word = ["true", "false", "null"]
                    .into_iter()
                    .find(|w| rest.starts_with(w))
                    .ok_or(Malformed)?;
                self.at += word.len();
            }
            Kind::Array => self.members(depth, b']', |_, _| Ok(()))?,
            Kind::Object => self.members(depth, b'}', |_, _| Ok(()))?,
        }
        Ok(&self.text[start..self.at])
    }

    /// Calls `each` before every member (with its name in objects) and reads past the container.
    fn members(
        &mut self,
        depth: usize,
        close: u8,
        mut each: impl FnMut(Option<String>, Reader<'a>) -> Result<(), Malformed>,
    ) -> Result<(), Malformed> {
        if depth >= MAX_DEPTH {
            return Err(Malformed);
        }
        self.at += 1;
        self.blank();
        if self.peek() == Some(close) {
            self.at += 1;
            return Ok(());
        }
        loop {
            self.blank();
            let name = if close == b'}' {
                let name = self.quoted()?;
                self.expect(b':')?;
                self.blank();
                Some(name)
            } else {
                None
            };
            each(name, self.clone())?;
            self.value(depth + 1)?;
            self.blank();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b) if b == close => {
                    self.at += 1;
                    return Ok(());
                }
                _ => return Err(Malformed),
            }
        }
    }

    fn digits(&mut self) -> usize {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        self.at - start
    }

    fn number(&mut self) -> Result<(), Malformed> {
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        let leading_zero = self.peek() == Some(b'0');
        let whole = self.digits();
        if whole == 0 || (leading_zero && whole > 1) {
            return Err(Malformed);
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            if self.digits() == 0 {
                return Err(Malformed);
            }
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            if self.digits() == 0 {
                return Err(Malformed);
            }
        }
        Ok(())
    }

    fn quoted(&mut self) -> Result<String, Malformed> {
        if self.peek() != Some(b'"') {
            return Err(Malformed);
        }
        self.at += 1;
        let mut out = String::new();
        loop {
            let rest = &self.text[self.at..];
            let stop = rest.find(['"', '\\']).ok_or(Malformed)?;
            if rest[..stop].bytes().any(|b| b < 0x20) {
                return Err(Malformed);
            }
            out.push_str(&rest[..stop]);
            self.at += stop + 1;
            if rest.as_bytes()[stop] == b'"' {
                return Ok(out);
            }
            let escape = self.peek().ok_or(Malformed)?;
            self.at += 1;
            out.push(match escape {
                b'"' => '"',
                b'\\' => '\\',
                b'/' => '/',
                b'b' => '\u{8}',
                b'f' => '\u{c}',
                b'n' => '\n',
                b'r' => '\r',
                b't' => '\t',
                b'u' => self.unicode()?,
                _ => return Err(Malformed),
            });
        }
    }

    fn hex4(&mut self) -> Result<u32, Malformed> {
        let digits = self.text.get(self.at..self.at + 4).ok_or(Malformed)?;
        self.at += 4;
        u32::from_str_radix(digits, 16).map_err(|_| Malformed)
    }

    fn unicode(&mut self) -> Result<char, Malformed> {
        let high = self.hex4()?;
        if !(0xd800..0xdc00).contains(&high) {
            return char::from_u32(high).ok_or(Malformed);
        }
        if self.text.get(self.at..self.at + 2) != Some("\\u") {
            return Err(Malformed);
        }
        self.at += 2;
        let low = self.hex4()?;
        if !(0xdc00..0xe000).contains(&low) {
            return Err(Malformed);
        }
        char::from_u32(0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00)).ok_or(Malformed)
    }

    /// The members of the container here: name (objects) and place of each.
    pub(super) fn list(&self) -> Result<Vec<(Option<String>, Reader<'a>)>, Malformed> {
        let close = match self.kind()? {
            Kind::Object => b'}',
            Kind::Array => b']',
            _ => return Ok(Vec::new()),
        };
        let mut out = Vec::new();
        self.clone().members(0, close, |name, place| {
            out.push((name, place));
            Ok(())
        })?;
        Ok(out)
    }

    /// The value at a path below this one.
    pub(super) fn find(&self, path: &[Step]) -> Result<Option<Reader<'a>>, Malformed> {
        let mut here = self.clone();
        for step in path {
            let kind = here.kind()?;
            let mut members = here.list()?.into_iter();
            let next = match (kind, step) {
                (Kind::Object, Step::Name(name)) => members.find(|(n, _)| n.as_deref() == Some(name)),
                (Kind::Object, Step::Index(i)) => {
                    let name = i.to_string();
                    members.find(|(n, _)| n.as_deref() == Some(&name))
                }
                (Kind::Array, Step::Index(i)) => members.nth(*i),
                (Kind::Array, Step::Name(name)) => name.parse().ok().and_then(|i: usize| members.nth(i)),
                _ => None,
            };
            match next {
                Some((_, place)) => here = place,
                None => return Ok(None),
            }
        }
        Ok(Some(here))
    }

    /// Text of the value here as written.
    pub(super) fn raw(&self) -> Result<&'a str, Malformed> {
        self.clone().value(0)
    }

    /// Content of the string here, escapes resolved.
    pub(super) fn string(&self) -> Result<String, Malformed> {
        self.clone().quoted()
    }

    /// Appends the value without blanks; `sorted` orders the members of objects by name, as `json_parse` does.
    pub(super) fn write(&self, out: &mut String, sorted: bool, depth: usize) -> Result<(), Malformed> {
        if depth > MAX_DEPTH {
            return Err(Malformed);
        }
        match self.kind()? {
            Kind::Text => write_string(out, &self.string()?),
            Kind::Number => out.push_str(&number_text(self.raw()?)),
            Kind::Boolean | Kind::Null => out.push_str(self.raw()?),
            Kind::Array => {
                out.push('[');
                for (i, (_, item)) in self.list()?.iter().enumerate() {
                    if i > 0 {
                        out.push(',');
                    }
                    item.write(out, sorted, depth + 1)?;
                }
                out.push(']');
            }
            Kind::Object => {
                let mut members = self.list()?;
                if sorted {
                    members.sort_by(|a, b| a.0.cmp(&b.0));
                }
                out.push('{');
                for (i, (name, item)) in members.iter().enumerate() {
                    if i > 0 {
                        out.push(',');
                    }
                    write_string(out, name.as_deref().unwrap_or_default());
                    out.push(':');
                    item.write(out, sorted, depth + 1)?;
                }
                out.push('}');
            }
        }
        Ok(())
    }
}

fn write_string(out: &mut String, text: &str) {
    out.push('"');
    for ch in text.chars() {
        match ch {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c < ' ' => out.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
}

/// Whole numbers as written; others in the form of Java's `Double.toString`, as a re-written number is.
fn number_text(raw: &str) -> String {
    if !raw.contains(['.', 'e', 'E']) {
        return raw.to_owned();
    }
    match raw.parse::<f64>() {
        Ok(value) => java_double(value),
        Err(_) => raw.to_owned(),
    }
}

/// Java's `Double.toString`.
fn java_double(value: f64) -> String {
    if value == 0.0 {
        return if value.is_sign_negative() { "-0.0" } else { "0.0" }.to_owned();
    }
    if (1e-3..1e7).contains(&value.abs()) {
        let plain = format!("{value}");
        return if plain.contains('.') { plain } else { plain + ".0" };
    }
    let scientific = format!("{value:e}");
    match scientific.split_once('e') {
        Some((m, e)) if m.contains('.') => format!("{m}E{e}"),
        Some((m, e)) => format!("{m}.0E{e}"),
        None => scientific,
    }
}
