//! Tells the tests whether the corpora of Parquet files are at hand, so that their test is reported as ignored where not.

fn main() {
    println!("cargo::rustc-check-cfg=cfg(corpora)");
    println!("cargo::rerun-if-env-changed=OWLAKE_CORPORA");
    println!("cargo::rerun-if-changed=build.rs");
    #[expect(
        clippy::disallowed_methods,
        reason = "a build script is configured by its environment"
    )]
    let corpora = std::env::var("OWLAKE_CORPORA").unwrap_or_default();
    if !corpora.is_empty() {
        println!("cargo::rustc-cfg=corpora");
    }
}
