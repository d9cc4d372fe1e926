//! `owlake-sql`: the SQL shell without an engine, for servers elsewhere.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use owlake_client::cli::{self, Exit, SqlArgs, Streams};
use owlake_client::{Client, ServerUrl};

/// SQL shell for Owlake servers
#[derive(Debug, Parser)]
#[command(name = "owlake-sql", version)]
struct Cli {
    #[command(flatten)]
    sql: SqlArgs,
}

fn main() -> ExitCode {
    let args = Cli::parse().sql;
    let mut io = Streams::process(std::env::home_dir().map(history_file));
    // Fails only if a provider is installed already, and then there is one.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    match tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime.block_on(connect_and_run(args, &mut io)).into(),
        Err(error) => cli::usage_failed(&error, &mut io).into(),
    }
}

fn history_file(home: PathBuf) -> PathBuf {
    home.join(".owlake_history")
}

async fn connect_and_run(args: SqlArgs, io: &mut Streams) -> Exit {
    let mut options = match args.connect_options(io) {
        Ok(options) => options,
        Err(error) => return cli::usage_failed(&error, io),
    };
    options.url.get_or_insert_with(ServerUrl::local);
    match Client::connect(options).await {
        Ok(client) => cli::run(&args, client, io).await,
        Err(error) => cli::connection_failed(&error, io),
    }
}
