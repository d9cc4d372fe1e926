//! What each subcommand does. Parsing is `args.rs`, putting together is `wiring.rs`.

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use owlake_catalog::import_glue_json;
use owlake_client::cli::{self, Exit, Streams};
use owlake_client::{Client, ConnectOptions};
use owlake_fault::Fault;
use owlake_metering::LedgerOptions;
use tokio::sync::watch;

use crate::args::{
    BackupArgs, Command, ConfigAction, DataDirArgs, DemoArgs, EngineConfig, ImportSource, OwlakeArgs,
    RestoreArgs, ServeArgs, ServerConfig, SqlCommand,
};
use crate::auth::Authenticator;
use crate::config::{Config, DEFAULT_TOML, Environment};
use crate::lake::Lake;
use crate::serve_lake::configs;
use crate::telemetry::Metrics;
use crate::tls::ServerTls;
use crate::{demo, http, observers, server, telemetry};

/// How long running queries may take to end after SIGTERM.
const DRAIN: Duration = Duration::from_secs(30);
/// How often gauges that are read, not counted, are brought up to date.
const GAUGES_EVERY: Duration = Duration::from_secs(5);

/// Any failure of a subcommand, for one line on stderr.
type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Runs the command line; the exit code follows the client's (0 ok, 1 failed, 2 usage, 3 no connection, 4 refused, 130).
pub fn run(args: OwlakeArgs) -> ExitCode {
    // Fails only if a provider is installed already, and then there is one.
    let _installed = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let environment = Environment::of_process();
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return report(&error),
    };
    let outcome = runtime.block_on(dispatch(args.command, &environment));
    // Background work (a planning bomb left behind) must not hold up the end.
    runtime.shutdown_timeout(Duration::from_millis(200));
    match outcome {
        Ok(exit) => exit,
        Err(error) => report(error.as_ref()),
    }
}

fn report(error: &dyn std::error::Error) -> ExitCode {
    let mut text = format!("Error: {error}");
    let mut cause = error.source();
    while let Some(e) = cause {
        let more = e.to_string();
        if !text.contains(&more) {
            text += &format!(": {more}");
        }
        cause = e.source();
    }
    let _closed = writeln!(std::io::stderr(), "{text}");
    ExitCode::FAILURE
}

async fn dispatch(command: Command, environment: &Environment) -> Result<ExitCode, Failure> {
    match command {
        Command::Serve(args) => serve(&args, environment).await,
        Command::Sql(args) => sql(*args, environment).await,
        Command::Demo(args) => run_demo(args).await,
        Command::Import(args) => match args.source {
            ImportSource::GlueJson { files, place } => import(files, &place, environment).await,
        },
        Command::Backup(args) => backup(&args, environment),
        Command::Restore(args) => restore(&args, environment),
        Command::Config(args) => config(args.action, environment),
    }
}

fn usage(error: impl std::fmt::Display) -> ExitCode {
    let _closed = writeln!(std::io::stderr(), "Error: {error}");
    Exit::Usage.into()
}

fn print(text: impl std::fmt::Display) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{text}")?;
    out.flush()
}

/// Opens the lake that configuration and flags describe.
async fn open_lake(config: &EngineConfig, metrics: Option<&Arc<Metrics>>) -> Result<Lake, Failure> {
    let (engine, scan) = configs(&config.config);
    let mut builder = Lake::builder()
        .data_dir(&config.data_dir)
        .engine_config(engine)
        .scan_config(scan)
        .ledger_options(LedgerOptions {
            retention: config.config.ledger.retention.duration(),
            object_requests_retention: config.config.ledger.object_requests_retention.duration(),
        })
        .price_plan(config.config.price.plan.as_str())
        .s3_access(crate::aws::access(&config.config.location, &config.aws).await);
    if let Some(list) = &config.config.server.sql_catalog_references {
        builder = builder.sql_catalog_references(list);
    }
    if let Some(url) = &config.config.quota.warn_webhook_url {
        builder = builder.quota_webhook(url.expose());
    }
    for location in &config.allowed_locations {
        builder = builder.allow_location(location);
    }
    for catalog in &config.config.catalog {
        builder = builder.catalog(&catalog.name, &catalog.connector, catalog.properties.clone());
    }
    if let Some(metrics) = metrics {
        builder = builder.observers(observers::observers(metrics));
    }
    Ok(builder.build().await?)
}

async fn serve(args: &ServeArgs, environment: &Environment) -> Result<ExitCode, Failure> {
    let config = match args.load(environment) {
        Ok(config) => config,
        Err(error) => return Ok(usage(error)),
    };
    telemetry::init_log(&config.engine.config.log)?;
    let metrics = Metrics::new(env!("CARGO_PKG_VERSION"));
    let lake = open_lake(&config.engine, Some(&metrics)).await?;
    let auth = authenticator(&config)?;
    let tls = ServerTls::load(&config.engine.config.tls)?;
    let scheme = if tls.is_some() { "grpc+tls" } else { "grpc" };
    let (listener, address) = server::bind(config.engine.config.server.listen).await?;
    let (http_listener, http_address) = server::bind(config.engine.config.server.http_listen).await?;
    lake.announce(&format!("pid {}, {scheme}://{address}", std::process::id()))?;
    let (stop, stopping) = watch::channel(false);
    let state = http::HttpState::new(Arc::clone(&metrics));
    // Health and metrics answer until the end: a draining server says so.
    let http = http::serve(http_listener, state.clone(), std::future::pending());
    let gauges = keep_gauges(lake.clone(), Arc::clone(&metrics));
    let renewals = renew_on_hangup(tls.clone());
    let flight = server::serve(&lake, listener, auth, tls, until_stopped(stopping));
    print(format!("owlake ready {scheme}://{address} http://{http_address}"))?;
    tracing::info!(%address, %http_address, "ready");
    let drain = async {
        termination().await;
        tracing::info!("draining");
        state.start_draining();
        // The receiver lives in this function.
        let _sent = stop.send(true);
        tokio::time::sleep(DRAIN).await;
        tracing::warn!("queries still ran when the drain time was over");
    };
    tokio::select! {
        result = flight => result?,
        result = http => result?,
        () = gauges => {}
        () = renewals => {}
        () = drain => {}
    }
    Ok(ExitCode::SUCCESS)
}

fn authenticator(config: &ServerConfig) -> Result<Authenticator, Failure> {
    match &config.engine.config.auth.token_file {
        None => Ok(Authenticator::anonymous()),
        Some(path) => {
            let text = std::fs::read_to_string(path)
                .map_err(|e| format!("token file `{}` cannot be read: {e}", path.display()))?;
            Ok(Authenticator::from_token_file(&text, config.allow_anonymous)?)
        }
    }
}

async fn until_stopped(mut stopping: watch::Receiver<bool>) {
    // A closed channel means the same as a stop.
    let _closed = stopping.wait_for(|stop| *stop).await;
}

/// SIGTERM or Ctrl-C.
async fn termination() {
    use tokio::signal::unix::{SignalKind, signal};
    match signal(SignalKind::terminate()) {
        Ok(mut terminate) => {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = tokio::signal::ctrl_c() => {}
            }
        }
        Err(_no_handler) => {
            let _interrupted = tokio::signal::ctrl_c().await;
        }
    }
}

/// Reads certificate and key again at each SIGHUP; without TLS, the signal keeps its usual effect.
async fn renew_on_hangup(tls: Option<Arc<ServerTls>>) {
    use tokio::signal::unix::{SignalKind, signal};
    if let Some(tls) = tls
        && let Ok(mut hangup) = signal(SignalKind::hangup())
    {
        while hangup.recv().await.is_some() {
            match tls.reload() {
                Ok(()) => tracing::info!("certificate and key were read again"),
                Err(error) => {
                    let cause = std::error::Error::source(&error).map(ToString::to_string);
                    tracing::error!(%error, cause, "the certificate in use stays");
                }
            }
        }
    }
    std::future::pending().await
}

async fn keep_gauges(lake: Lake, metrics: Arc<Metrics>) {
    loop {
        for cache in lake.engine().cache_status().await {
            metrics.cache(&cache);
        }
        metrics.ahead(&lake.engine().ahead_status());
        metrics.memory_reserved(lake.engine().memory_reserved_bytes());
        tokio::time::sleep(GAUGES_EVERY).await;
    }
}

async fn sql(args: SqlCommand, environment: &Environment) -> Result<ExitCode, Failure> {
    let history = environment
        .get("HOME")
        .map(|home| PathBuf::from(home).join(".owlake_history"));
    let mut io = Streams::process(history);
    let options = match args.sql.connect_options(&mut io) {
        Ok(options) => options,
        Err(error) => return Ok(cli::usage_failed(&error, &mut io).into()),
    };
    if options.url.is_some() {
        return Ok(match Client::connect(options).await {
            Ok(client) => cli::run(&args.sql, client, &mut io).await.into(),
            Err(error) => cli::connection_failed(&error, &mut io).into(),
        });
    }
    let config = match args.engine.load(environment) {
        Ok(config) => config,
        Err(error) => return Ok(usage(error)),
    };
    let lake = open_lake(&config, None).await?;
    lake.announce(&format!("pid {}, owlake sql", std::process::id()))?;
    Ok(match server::embedded_client(&lake, options).await {
        Ok(client) => cli::run(&args.sql, client, &mut io).await.into(),
        Err(error) => cli::connection_failed(&error, &mut io).into(),
    })
}

async fn run_demo(args: DemoArgs) -> Result<ExitCode, Failure> {
    let demo = demo::start(&args).await?;
    let (listener, address) = server::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
    let (stop, stopping) = watch::channel(false);
    let serving = server::serve(
        &demo.lake,
        listener,
        Authenticator::anonymous(),
        None,
        until_stopped(stopping),
    );
    let session = async {
        let mut io = Streams::process(None);
        writeln!(
            io.err,
            "Serving Flight SQL at grpc://{address}, objects at {}",
            demo.endpoint()
        )?;
        let mut options = ConnectOptions::new(format!("grpc://{address}").parse()?);
        options.database = Some(demo::DATABASE.to_owned());
        let client = match Client::connect(options).await {
            Ok(client) => client,
            Err(error) => return Ok(cli::connection_failed(&error, &mut io)),
        };
        let exit = demo::tour(&client, &mut io).await?;
        if exit == Exit::Ok && io.input_is_terminal {
            return Ok(cli::run(&owlake_client::cli::SqlArgs::default(), client, &mut io).await);
        }
        client.close().await;
        Ok::<_, Failure>(exit)
    };
    let mut serving = Box::pin(serving);
    let exit = tokio::select! {
        result = &mut serving => {
            result?;
            Exit::Failed
        }
        exit = session => exit?,
    };
    // The server ends by itself once told so; its receiver is gone where it has ended already.
    let _told = stop.send(true);
    Ok(exit.into())
}

async fn import(
    files: Vec<PathBuf>,
    place: &DataDirArgs,
    environment: &Environment,
) -> Result<ExitCode, Failure> {
    let data_dir = match place.resolve(environment) {
        Ok(path) => path,
        Err(error) => return Ok(usage(error)),
    };
    let mut documents = Vec::with_capacity(files.len());
    for file in files {
        let text = std::fs::read_to_string(&file)
            .map_err(|e| format!("`{}` cannot be read: {e}", file.display()))?;
        documents.push((file.display().to_string(), text));
    }
    let lake = Lake::builder().data_dir(data_dir).build().await?;
    let report = import_glue_json(lake.catalog().as_ref(), documents).await;
    print(&report)?;
    Ok(if report.problems.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn backup(args: &BackupArgs, environment: &Environment) -> Result<ExitCode, Failure> {
    let data_dir = args.place.resolve(environment)?;
    owlake_catalog::sqlite::backup(&data_dir, &args.file).map_err(Fault::from)?;
    print(format!(
        "catalog of {} copied to {}",
        data_dir.display(),
        args.file.display()
    ))?;
    Ok(ExitCode::SUCCESS)
}

fn restore(args: &RestoreArgs, environment: &Environment) -> Result<ExitCode, Failure> {
    let data_dir = args.place.resolve(environment)?;
    owlake_catalog::sqlite::restore(&args.file, &data_dir).map_err(Fault::from)?;
    print(format!(
        "{} is now the catalog of {}",
        args.file.display(),
        data_dir.display()
    ))?;
    Ok(ExitCode::SUCCESS)
}

fn config(action: ConfigAction, environment: &Environment) -> Result<ExitCode, Failure> {
    match action {
        ConfigAction::Default => print(DEFAULT_TOML.trim_end())?,
        ConfigAction::Check { config } => {
            let (_, source) = match Config::load(config.as_deref(), environment) {
                Ok(loaded) => loaded,
                Err(error) => return Ok(usage(error)),
            };
            match source {
                Some(path) => print(format!("{} is fine", path.display()))?,
                None => print("no configuration file; defaults and variables are fine")?,
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}
