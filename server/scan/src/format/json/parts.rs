//! A JSON text cut into its parts, each as it stands there; serde_json checks them and finds their ends.

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::shown;

/// A member of an object: its name unescaped, and its value as it stands in the line.
pub(super) type Member<'a> = (Cow<'a, str>, &'a str);

#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

/// A JSON text on its way to its parts; serde_json checks and measures each.
pub(super) struct Parts<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Parts<'a> {
    /// From the first character of `text`.
    pub(super) fn of(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    /// The next character that is no blank.
    fn peek(&mut self) -> Option<u8> {
        let blanks = self
            .rest()
            .bytes()
            .take_while(|b| b.is_ascii_whitespace())
            .count();
        self.at += blanks;
        self.rest().bytes().next()
    }

    /// The next character that is no blank, which has to be one of `wanted`.
    fn take(&mut self, wanted: &[u8]) -> Result<u8, String> {
        match self.peek() {
            Some(found) if wanted.contains(&found) => {
                self.at += 1;
                Ok(found)
            }
            _ => Err(format!(
                "unexpected {} at character {}",
                shown(self.rest()),
                self.at
            )),
        }
    }

    /// The next value, and where it ends.
    fn one<T: Deserialize<'a>>(&mut self) -> Result<(T, &'a str), String> {
        let start = self.at;
        let mut values = serde_json::Deserializer::from_str(self.rest()).into_iter::<T>();
        let value = values
            .next()
            .ok_or_else(|| "it is cut short".to_owned())?
            .map_err(|e| e.to_string())?;
        self.at += values.byte_offset();
        Ok((value, self.text[start..self.at].trim()))
    }

    fn value(&mut self) -> Result<&'a str, String> {
        Ok(self.one::<IgnoredAny>()?.1)
    }

    /// The members of the object that comes next.
    pub(super) fn members(&mut self) -> Result<Vec<Member<'a>>, String> {
        self.take(b"{")?;
        let mut members = Vec::new();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(members);
        }
        loop {
            let (Name(name), _) = self.one::<Name<'a>>()?;
            self.take(b":")?;
            members.push((name, self.value()?));
            if self.take(b",}")? == b'}' {
                return Ok(members);
            }
        }
    }

    fn elements(&mut self) -> Result<Vec<&'a str>, String> {
        self.take(b"[")?;
        let mut elements = Vec::new();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(elements);
        }
        loop {
            elements.push(self.value()?);
            if self.take(b",]")? == b']' {
                return Ok(elements);
            }
        }
    }

    fn end(&self) -> Result<(), String> {
        match self.rest().trim() {
            "" => Ok(()),
            more => Err(format!("{} follows it", shown(more))),
        }
    }
}

/// The elements of an array that nothing follows.
pub(super) fn elements(raw: &str) -> Result<Vec<&str>, String> {
    let mut parts = Parts::of(raw);
    let elements = parts.elements()?;
    parts.end()?;
    Ok(elements)
}

/// The members of an object that nothing follows.
pub(super) fn members(raw: &str) -> Result<Vec<Member<'_>>, String> {
    let mut parts = Parts::of(raw);
    let members = parts.members()?;
    parts.end()?;
    Ok(members)
}

/// Text of a JSON string; other scalars as they stand in the file.
pub(super) fn scalar_text(raw: &str) -> Result<Cow<'_, str>, String> {
    if raw.starts_with('"') {
        let Name(text) = serde_json::from_str(raw).map_err(|e| e.to_string())?;
        return Ok(text);
    }
    Ok(Cow::Borrowed(raw))
}
