//! Facts about configuration: defaults, unknown keys, references, variables, search order.

use super::*;

fn environment(pairs: &[(&str, &str)]) -> Environment {
    pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(text, "owlake.toml", &Environment::default())
}

fn refusal(text: &str) -> String {
    parse(text).unwrap_err().to_string()
}

#[test]
fn the_printed_defaults_are_the_defaults() {
    assert_eq!(parse(DEFAULT_TOML).unwrap(), Config::default());
    assert_eq!(parse("").unwrap(), Config::default());
}

#[test]
fn every_commented_key_of_the_printed_defaults_works() {
    let is_example = |line: &str| {
        line.strip_prefix("# ")
            .is_some_and(|rest| rest.starts_with("[[") || rest.contains(" = "))
    };
    let mut all: Vec<String> = DEFAULT_TOML
        .lines()
        .map(|line| {
            if is_example(line) {
                line[2..].to_owned()
            } else {
                line.to_owned()
            }
        })
        .filter(|line| !line.starts_with("role_arn") && !line.starts_with("external_id"))
        .collect();
    for line in &mut all {
        if line.starts_with("secret_access_key") {
            *line = "secret_access_key = \"${ENV:LAKE_KEY}\"".to_owned();
        }
    }
    let keys = environment(&[("LAKE_KEY", "k")]);
    let config = Config::parse(&all.join("\n"), "all", &keys).unwrap();
    assert_eq!(config.location[0].region.as_deref(), Some("eu-central-1"));
    assert_eq!(config.location[0].access_key_id, Some(Secret::new("k")));
    assert_eq!(
        config.workgroup[0].bytes_scanned_cutoff_per_query,
        Some(ByteSize::from_bytes(10_000_000_000))
    );
    assert_eq!(config.workgroup[0].max_running, Some(4));
    assert_eq!(
        config.workgroup[0].result_reuse_max_age,
        Some(HumanDuration::from_secs(3600))
    );
    assert_eq!(config.limits.memory, Some(ByteSize::from_bytes(8_000_000_000)));
    let catalog = &config.catalog[0];
    assert_eq!(
        (catalog.name.as_str(), catalog.connector.as_str()),
        ("pg", "postgresql")
    );
    let property = |name: &str| catalog.properties[name].as_str();
    assert_eq!(
        (property("max_connections"), property("schemas")),
        ("10", "public,sales")
    );
    // Followed when a connection is made, so that a changed file is the next one used.
    assert_eq!(property("password"), "${FILE:/run/secrets/pg-password}");
    assert!(config.tls.client_ca_file.is_some() && config.auth.token_file.is_some());
}

#[test]
fn unknown_keys_and_wrong_values_are_refused_with_their_place() {
    let unknown = refusal("[server]\nlisten = \"127.0.0.1:1\"\nlissen = 1\n");
    assert!(
        unknown.starts_with("owlake.toml:3:1: unknown field `lissen`"),
        "{unknown}"
    );
    let section = refusal("[sever]\n");
    assert!(
        section.starts_with("owlake.toml:1:2: unknown field `sever`"),
        "{section}"
    );
    let size = refusal("[limits]\nspill = \"many\"\n");
    assert!(
        size.starts_with("owlake.toml:2:9: `many` is not a size"),
        "{size}"
    );
    let plan = refusal("[price]\nplan = \"free\"");
    assert!(plan.contains("aws-s3") && plan.contains("athena"), "{plan}");
    let syntax = refusal("[limits\n");
    assert!(syntax.starts_with("owlake.toml:1:"), "{syntax}");
    let count = refusal("[limits]\nmax_running = -1");
    assert!(
        count.starts_with("owlake.toml:2:15: expected a whole number"),
        "{count}"
    );
}

#[test]
fn references_are_replaced_in_texts_and_numbers() {
    let secret_file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(secret_file.path(), "from-file\n").unwrap();
    let text = format!(
        "[limits]\nmax_running = \"${{ENV:RUN}}\"\n[[location]]\nprefix = \"s3://${{ENV:BUCKET}}/x/\"\n\
         access_key_id = \"${{ENV:BUCKET}}\"\nsecret_access_key = \"${{FILE:{}}}\"\n",
        secret_file.path().display()
    );
    let config = Config::parse(&text, "t", &environment(&[("RUN", "3"), ("BUCKET", "lake")])).unwrap();
    assert_eq!(config.limits.max_running, 3);
    assert_eq!(config.location[0].prefix, "s3://lake/x/");
    assert_eq!(
        config.location[0].secret_access_key,
        Some(Secret::new("from-file"))
    );
    assert!(!format!("{config:?}").contains("from-file"));
}

#[test]
fn broken_references_are_refused_with_their_place() {
    let unset = refusal("[log]\nlevel = \"${ENV:NOT_THERE}\"");
    assert_eq!(
        unset,
        "owlake.toml:2:9: environment variable NOT_THERE is not set"
    );
    assert!(refusal("[log]\nlevel = \"${NAME}\"").contains("`${ENV:NAME}`"));
    assert!(refusal("[log]\nlevel = \"${ENV:X\"").contains("without its `}`"));
    assert!(refusal("[log]\nlevel = \"${FILE:/does/not/exist}\"").contains("/does/not/exist"));
}

#[test]
fn variables_win_over_the_file() {
    let variables = environment(&[
        ("OWLAKE_LIMITS__MAX_RUNNING", "2"),
        ("OWLAKE_LOG__SQL", "true"),
        ("OWLAKE_SERVER__LISTEN", "0.0.0.0:9"),
        ("OWLAKE_TLS__CERT_FILE", ""),
        ("OWLAKE_TOKEN", "not a setting"),
    ]);
    let config = Config::parse("[limits]\nmax_running = 5\nmax_queued = 7", "t", &variables).unwrap();
    assert_eq!((config.limits.max_running, config.limits.max_queued), (2, 7));
    assert!(config.log.sql);
    assert_eq!(config.server.listen.to_string(), "0.0.0.0:9");
    assert_eq!(config.tls.cert_file, None);
}

#[test]
fn variables_that_set_nothing_are_refused_by_name() {
    let refused = |name, value| {
        Config::parse("", "t", &environment(&[(name, value)]))
            .unwrap_err()
            .to_string()
    };
    let unknown = refused("OWLAKE_LIMITS__MAX_RUNING", "2");
    assert!(
        unknown.starts_with("environment variable OWLAKE_LIMITS__MAX_RUNING: unknown field"),
        "{unknown}"
    );
    let value = refused("OWLAKE_CACHE__LISTING_TTL", "soon");
    assert!(value.starts_with("environment variable OWLAKE_CACHE__LISTING_TTL: `soon` is not a duration"));
    assert!(refused("OWLAKE_LOCATION__PREFIX", "s3://x/").contains("in the file only"));
}

#[test]
fn values_that_contradict_each_other_are_refused() {
    for (text, part) in [
        ("[tls]\ncert_file = \"a\"", "set together"),
        ("[tls]\nclient_ca_file = \"a\"", "needs cert_file"),
        ("[[location]]\nregion = \"x\"", "no prefix"),
        (
            "[[location]]\nprefix = \"s3://a/\"\naccess_key_id = \"k\"",
            "set together",
        ),
        (
            "[[location]]\nprefix = \"s3://a/\"\nanonymous = true\nrole_arn = \"r\"",
            "anonymous excludes",
        ),
        (
            "[[location]]\nprefix = \"s3://a/\"\n[[location]]\nprefix = \"s3://a/\"",
            "twice",
        ),
        (
            "[[workgroup]]\nname = \"a\"\n[[workgroup]]\nname = \"a\"",
            "twice",
        ),
        ("[[workgroup]]\nmax_running = 1", "no name"),
        ("[limits]\nmax_running = 0", "at least 1"),
    ] {
        let refusal = refusal(text);
        assert!(refusal.contains(part), "{refusal}");
    }
}

#[test]
fn a_named_file_has_to_exist_and_the_flag_wins_over_the_variable() {
    let directory = tempfile::tempdir().unwrap();
    let flag = directory.path().join("flag.toml");
    let variable = directory.path().join("variable.toml");
    std::fs::write(&flag, "[limits]\nmax_queued = 1").unwrap();
    std::fs::write(&variable, "[limits]\nmax_queued = 2").unwrap();
    let variables = environment(&[("OWLAKE_CONFIG", variable.to_str().unwrap())]);
    let queued =
        |explicit| Config::load(explicit, &variables).map(|(config, from)| (config.limits.max_queued, from));
    assert_eq!(queued(Some(flag.as_path())).unwrap(), (1, Some(flag.clone())));
    assert_eq!(queued(None).unwrap(), (2, Some(variable)));
    let missing = queued(Some(&directory.path().join("none.toml"))).unwrap_err();
    assert!(matches!(missing, ConfigError::Read { .. }));
}

#[test]
fn the_data_directory_follows_xdg_then_home() {
    let of = |pairs: &[(&str, &str)]| environment(pairs).default_data_dir();
    assert_eq!(
        of(&[("XDG_DATA_HOME", "/x"), ("HOME", "/h")]),
        Path::new("/x/owlake")
    );
    assert_eq!(
        of(&[("XDG_DATA_HOME", "relative"), ("HOME", "/h")]),
        Path::new("/h/.local/share/owlake")
    );
    assert_eq!(of(&[]), Path::new("owlake-data"));
}

#[test]
fn aws_variables_are_collected_with_their_precedence() {
    let aws = environment(&[
        ("AWS_ENDPOINT_URL", "http://all"),
        ("AWS_ENDPOINT_URL_S3", "http://s3"),
        ("AWS_DEFAULT_REGION", "eu-west-1"),
        ("AWS_SECRET_ACCESS_KEY", "hush"),
        ("AWS_ALLOW_HTTP", "TRUE"),
        ("AWS_REQUEST_PAYER", "requester"),
    ])
    .aws();
    assert_eq!(aws.endpoint_url.as_deref(), Some("http://s3"));
    assert_eq!(aws.region.as_deref(), Some("eu-west-1"));
    assert!(aws.allow_http && aws.requester_pays && !aws.skip_signature);
    assert!(!format!("{aws:?}").contains("hush"));
}

#[test]
fn an_environment_shows_names_but_no_values() {
    let shown = format!("{:?}", environment(&[("TOKEN", "hush")]));
    assert!(shown.contains("TOKEN") && !shown.contains("hush"));
}

#[test]
fn catalogs_have_usable_names_and_show_no_values() {
    let catalog = |name: &str| {
        format!("[[catalog]]\nname = \"{name}\"\nconnector = \"postgresql\"\nuser = \"hunter2\"\n")
    };
    let config = parse(&catalog("pg-1")).unwrap();
    assert!(!format!("{config:?}").contains("hunter2"));
    for bad in ["", "PG", "a.b", "awsdatacatalog", "system"] {
        assert!(refusal(&catalog(bad)).starts_with("[catalog] name `"), "{bad}");
    }
    assert!(refusal(&[catalog("pg"), catalog("pg")].concat()).contains("name `pg` is there twice"));
    let url = "[[catalog]]\nname = \"pg\"\nconnector = \"postgresql\"\nconnection_url = \"postgresql://${ENV:HOST}/d\"\n";
    let config = Config::parse(url, "url", &environment(&[("HOST", "db")])).unwrap();
    assert_eq!(
        config.catalog[0].properties["connection_url"],
        "postgresql://db/d"
    );
}
