//! Tells the tidy test whether an advisory database is at hand, so that the check is reported as ignored where none is.

fn main() {
    println!("cargo::rustc-check-cfg=cfg(advisory_db)");
    println!("cargo::rerun-if-env-changed=OWLAKE_ADVISORY_DB");
    println!("cargo::rerun-if-changed=build.rs");
    #[expect(
        clippy::disallowed_methods,
        reason = "a build script is configured by its environment"
    )]
    let database = std::env::var("OWLAKE_ADVISORY_DB").unwrap_or_default();
    if !database.is_empty() {
        println!("cargo::rustc-cfg=advisory_db");
    }
    println!("cargo::rustc-env=OWLAKE_ADVISORY_DB={database}");
}
