//! Writes the demo's TPC-H lake into a directory: `generate_lake DIR SCALE_FACTOR`. Prints the DDL for it.

#![allow(clippy::print_stdout, reason = "an example prints")]

use std::path::PathBuf;

use owlake::demo::lake::{ddl, generate};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(dir), Some(scale)) = (args.next(), args.next()) else {
        return Err("usage: generate_lake DIR SCALE_FACTOR".into());
    };
    std::fs::create_dir_all(&dir)?;
    let dir = std::fs::canonicalize(dir)?;
    generate(scale.parse()?, |key, bytes| {
        let path: PathBuf = dir.join(key);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        std::fs::write(path, bytes)
    })?;
    for statement in ddl(&format!("file://{}/", dir.display())) {
        println!("{statement};");
    }
    Ok(())
}
