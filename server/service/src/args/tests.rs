//! Facts about the command line: what parses, what goes over what, what is refused off loopback.

use clap::CommandFactory;

use super::*;

fn serve(line: &str) -> ServeArgs {
    let words = ["owlake", "serve"].into_iter().chain(line.split_whitespace());
    match OwlakeArgs::try_parse_from(words).unwrap().command {
        Command::Serve(args) => *args,
        other => panic!("{other:?}"),
    }
}

fn merged(line: &str, file: &str) -> Result<ServerConfig, ArgsError> {
    let home = Environment::from_iter([("HOME".to_owned(), "/home/o".to_owned())]);
    serve(line).merge(Config::parse(file, "t", &home).unwrap(), &home)
}

#[test]
fn the_definitions_are_sound() {
    OwlakeArgs::command().debug_assert();
}

#[test]
fn every_subcommand_parses() {
    for line in [
        "serve",
        "sql -c x --data-dir d",
        "demo --scale-factor 0.1",
        "import glue-json a.json b.json --data-dir d",
        "backup target",
        "restore source --data-dir d",
        "config default",
        "config check --config f",
    ] {
        let words = ["owlake"].into_iter().chain(line.split_whitespace());
        assert!(OwlakeArgs::try_parse_from(words).is_ok(), "{line}");
    }
    for line in [
        "",
        "import glue-json",
        "serve --tls-cert a",
        "serve --memory lots",
        "demo -c x --listen 127.0.0.1:1",
    ] {
        let words = ["owlake"].into_iter().chain(line.split_whitespace());
        assert!(OwlakeArgs::try_parse_from(words).is_err(), "{line}");
    }
}

#[test]
fn flags_win_over_the_file() {
    let server = merged(
        "--listen 127.0.0.1:9 --max-running 3 --memory 2GiB --log-format json --data-dir /flag",
        "[server]\nlisten = \"127.0.0.1:1\"\ndata_dir = \"/file\"\n[limits]\nmax_running = 5\nmax_queued = 6",
    )
    .unwrap();
    let config = &server.engine.config;
    assert_eq!(config.server.listen.port(), 9);
    assert_eq!((config.limits.max_running, config.limits.max_queued), (3, 6));
    assert_eq!(config.limits.memory.map(ByteSize::bytes), Some(2 << 30));
    assert_eq!(config.log.format, LogFormat::Json);
    assert_eq!(server.engine.data_dir, Path::new("/flag"));
}

#[test]
fn on_loopback_neither_tls_nor_tokens_are_needed() {
    for listen in ["127.0.0.1:1", "[::1]:1", "127.8.8.8:1"] {
        let server = merged(&format!("--listen {listen}"), "").unwrap();
        assert!(server.allow_anonymous, "{listen}");
        assert!(server.engine.allowed_locations.contains(&"s3://".to_owned()));
    }
}

#[test]
fn off_loopback_each_protection_has_to_be_given_or_waived() {
    let refused = |line: &str| {
        merged(&format!("--listen 0.0.0.0:1 {line}"), "")
            .unwrap_err()
            .to_string()
    };
    assert!(refused("").contains("--allow-plaintext"));
    assert!(refused("--allow-anonymous").contains("--allow-plaintext"));
    assert!(refused("--allow-plaintext").contains("--allow-anonymous"));
    assert!(refused("--tls-cert c --tls-key k").contains("--token-file"));
    assert!(refused("--token-file t").contains("--tls-cert"));
    let closed = merged("--listen 0.0.0.0:1 --tls-cert c --tls-key k --token-file t", "").unwrap();
    assert!(!closed.allow_anonymous);
    assert_eq!(
        closed.engine.allowed_locations,
        ["file:///home/o/.local/share/owlake/lake/"]
    );
    let open = merged("--listen 0.0.0.0:1 --allow-plaintext --allow-anonymous", "").unwrap();
    assert!(open.allow_anonymous);
}

#[test]
fn tokens_on_loopback_close_the_server() {
    assert!(!merged("--token-file t", "").unwrap().allow_anonymous);
    assert!(
        merged("--token-file t --allow-anonymous", "")
            .unwrap()
            .allow_anonymous
    );
}

#[test]
fn named_locations_replace_the_default_ones() {
    let server = merged(
        "--allow-location s3://a/ --allow-location /data/lake/",
        "[[location]]\nprefix = \"s3://b/\"",
    );
    assert_eq!(
        server.unwrap().engine.allowed_locations,
        ["s3://a/", "file:///data/lake/", "s3://b/"]
    );
    assert!(matches!(
        merged("--allow-location lake", ""),
        Err(ArgsError::Location(_))
    ));
}

#[test]
fn flags_are_checked_like_the_file() {
    assert!(matches!(merged("--max-running 0", ""), Err(ArgsError::Config(_))));
    assert!(matches!(
        merged("--tls-client-ca ca", ""),
        Err(ArgsError::Config(_))
    ));
}

#[test]
fn serve_and_sql_share_the_engine_flags() {
    let flags = |name: &str| -> Vec<String> {
        let command = OwlakeArgs::command();
        let sub = command.find_subcommand(name).unwrap();
        let engine = sub
            .get_arguments()
            .filter(|arg| arg.get_help_heading() == Some("Engine"));
        engine.map(|arg| arg.get_id().to_string()).collect()
    };
    assert!(flags("serve").contains(&"allow_locations".to_owned()));
    assert_eq!(flags("serve"), flags("sql"));
}
