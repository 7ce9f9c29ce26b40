//! The program: reads its arguments and does what they say.

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    scorecast::cli::main()
}
