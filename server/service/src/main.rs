//! The `owlake` binary.

use std::hint::black_box;
use std::process::ExitCode;

use clap::Parser;
use owlake::args::OwlakeArgs;

/// Just below the size from which glibc always asks the kernel for memory.
const LARGE_BYTES: usize = 31 << 20;

fn main() -> ExitCode {
    keep_freed_memory();
    owlake::run(OwlakeArgs::parse())
}

/// Lets glibc keep what scans free for the next ones, up to twice [`LARGE_BYTES`] for each of its arenas: else it gives
/// each decoder's buffers back to the kernel, which clears every page once more.
///
/// Both thresholds follow the largest block that was ever freed (mallopt(3), `M_MMAP_THRESHOLD`); nothing touches this
/// one, so it takes no memory. Other allocators do not care.
fn keep_freed_memory() {
    drop(black_box(Vec::<u8>::with_capacity(LARGE_BYTES)));
}
