//! The same work by the clock: `cargo bench -p scorecast-bench-micro`. Noisy; `make bench-counts` is what guards.

use scorecast_bench_micro::CASES;

fn main() {
    divan::main();
}

#[divan::bench(args = CASES.map(|case| case.name))]
fn work(bencher: divan::Bencher<'_, '_>, name: &str) {
    let case = CASES.iter().find(|case| case.name == name).expect("the arguments are their names");
    bencher.bench_local((case.prepare)());
}
