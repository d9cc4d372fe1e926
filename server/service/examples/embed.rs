//! A lake inside your own program: one table on local files, one query, its receipt.

#![allow(clippy::print_stdout, reason = "an example prints")]

use owlake::Lake;
use owlake::arrow::util::pretty::pretty_format_batches;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let data = std::env::args()
        .nth(1)
        .unwrap_or_else(|| format!("{}/../../testdata/parquet/orders", env!("CARGO_MANIFEST_DIR")));
    let data = std::fs::canonicalize(data)?.display().to_string();
    let lake = Lake::builder()
        .in_memory()
        .allow_location(format!("file://{data}/"))
        .build()
        .await?;
    lake.execute(&format!(
        "CREATE EXTERNAL TABLE orders STORED AS PARQUET LOCATION 'file://{data}/'"
    ))
    .await?;
    let mut query = lake
        .query("SELECT status, count(*) AS orders FROM orders GROUP BY status ORDER BY status")
        .run()
        .await?;
    println!("{}", pretty_format_batches(&query.collect().await?)?);
    println!("{:#?}", query.receipt());
    Ok(())
}
