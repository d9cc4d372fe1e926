//! The configuration as rows of `system.settings`: limits, caches, scans. Everybody may read them, so no secret, no
//! address and no path of the machine is among them.

use owlake_engine::ServerSetting;
use serde::Serialize;
use serde_json::Value;

use super::{Config, DEFAULT_TOML};

impl Config {
    /// What `system.settings` shows of it; names are `section.key`.
    pub(crate) fn shown(&self) -> Vec<ServerSetting> {
        let default = Self::default();
        let mut rows = section("limits", &self.limits, &default.limits);
        rows.extend(section("cache", &self.cache, &default.cache));
        rows.extend(section("scan", &self.scan, &default.scan));
        rows.extend(section("ledger", &self.ledger, &default.ledger));
        rows.extend(section("price", &self.price, &default.price));
        rows
    }
}

fn section(name: &str, now: &impl Serialize, default: &impl Serialize) -> Vec<ServerSetting> {
    let (now, default) = (fields(now), fields(default));
    let row = |(key, value): (&String, &Value)| ServerSetting {
        name: format!("{name}.{key}"),
        value: text(value),
        default: default.get(key).map(text).unwrap_or_default(),
        env: format!("OWLAKE_{name}__{key}").to_ascii_uppercase(),
        description: description(name, key),
    };
    let is_path = |key: &str| key.ends_with("_dir");
    now.iter().filter(|(key, _)| !is_path(key)).map(row).collect()
}

/// Sections are plain records: they always become objects.
fn fields(section: &impl Serialize) -> serde_json::Map<String, Value> {
    match serde_json::to_value(section) {
        Ok(Value::Object(fields)) => fields,
        _ => serde_json::Map::new(),
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// The comment above the key in the printed defaults.
fn description(section: &str, key: &str) -> String {
    let mut comment: Vec<&str> = Vec::new();
    let mut inside = false;
    for line in DEFAULT_TOML.lines() {
        if let Some(name) = line.strip_prefix('[') {
            inside = name.strip_suffix(']') == Some(section);
            comment.clear();
            continue;
        }
        let set = line.trim_start_matches("# ").split_once(" = ");
        match set {
            Some((name, _)) if inside && name == key => return comment.join(" "),
            Some(_) => comment.clear(),
            None => comment.extend(line.strip_prefix("# ")),
        }
    }
    String::new()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Environment;

    #[test]
    fn every_shown_key_has_its_default_and_says_what_it_does() {
        let rows = Config::default().shown();
        for row in &rows {
            assert_eq!(row.value, row.default, "{}", row.name);
            assert!(
                row.description.ends_with('.') && !row.name.ends_with("_dir"),
                "{row:?}"
            );
        }
        let names: Vec<&str> = rows.iter().map(|row| row.name.as_str()).collect();
        for name in [
            "limits.max_data_scanned",
            "cache.max_kept_result",
            "scan.coalesce_gap",
        ] {
            assert!(names.contains(&name), "{name} in {names:?}");
        }
    }

    #[test]
    fn a_shown_variable_sets_what_it_stands_beside() {
        let rows = Config::default().shown();
        let row = rows
            .iter()
            .find(|row| row.name == "cache.max_kept_result")
            .unwrap();
        assert_eq!(row.env, "OWLAKE_CACHE__MAX_KEPT_RESULT");
        let environment: Environment = [(row.env.clone(), "1MB".to_owned())].into_iter().collect();
        let set = Config::parse("", "t", &environment).unwrap().shown();
        let row = set
            .iter()
            .find(|row| row.name == "cache.max_kept_result")
            .unwrap();
        assert_eq!((row.value.as_str(), row.default.as_str()), ("1MB", "8.388608MB"));
    }
}
