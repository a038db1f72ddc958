// spawn N: N tasks that sleep for a second, on one thread. Prints what spawn.cpp prints.
use std::cell::Cell;
use std::time::{Duration, Instant};

#[path = "../rusage.rs"]
mod rusage;

thread_local! {
    static BEGUN: Cell<usize> = Cell::new(0);
    static STARTED: Cell<Option<Instant>> = Cell::new(None);
}

fn main() {
    let n: usize = std::env::args().nth(1).unwrap().parse().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let before = rusage::kilobytes("VmRSS:");
    let start = Instant::now();
    runtime.block_on(async move {
        let mut all = Vec::with_capacity(n);
        for _ in 0..n {
            all.push(tokio::spawn(async move {
                let begun = BEGUN.with(|b| b.replace(b.get() + 1)) + 1;
                if begun == n {
                    STARTED.with(|s| s.set(Some(Instant::now())));
                }
                tokio::time::sleep(Duration::from_secs(1)).await;
            }));
        }
        for t in all {
            t.await.unwrap();
        }
    });
    let bytes = (rusage::kilobytes("VmHWM:") - before) * 1024.0 / n as f64;
    println!(
        "{} {} {} {}",
        start.elapsed().as_secs_f64(),
        rusage::cpu_seconds(),
        bytes,
        (STARTED.with(|s| s.get()).unwrap() - start).as_secs_f64()
    );
}
