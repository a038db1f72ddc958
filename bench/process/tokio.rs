use std::process::Stdio;
use std::{cell::Cell, rc::Rc, time::Instant};

#[path = "../rusage.rs"]
mod rusage;

fn main() {
    let n: usize = std::env::args().nth(1).unwrap().parse().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let begun = Instant::now();
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async {
        let left = Rc::new(Cell::new(n));
        let all: Vec<_> = (0..50)
            .map(|_| {
                let left = left.clone();
                tokio::task::spawn_local(async move {
                    while left.get() > 0 {
                        left.set(left.get() - 1);
                        let status = tokio::process::Command::new("/bin/true")
                            .stdin(Stdio::null())
                            .stdout(Stdio::null())
                            .status()
                            .await
                            .unwrap();
                        assert!(status.success());
                    }
                })
            })
            .collect();
        for one in all {
            one.await.unwrap();
        }
    });
    println!("{:.6} {:.6}", begun.elapsed().as_secs_f64(), rusage::cpu_seconds());
}
