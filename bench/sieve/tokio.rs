// sieve N: the first N primes with tokio, on one thread.
use std::time::Instant;
use tokio::sync::mpsc::{channel, Receiver, Sender};

#[path = "../rusage.rs"]
mod rusage;

async fn count(out: Sender<u32>) {
    for n in 2.. {
        if out.send(n).await.is_err() {
            return;
        }
    }
}
async fn filter(prime: u32, mut input: Receiver<u32>, out: Sender<u32>) {
    while let Some(n) = input.recv().await {
        if n % prime != 0 && out.send(n).await.is_err() {
            return;
        }
    }
}

fn main() {
    let primes: u32 = std::env::args().nth(1).unwrap().parse().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let start = Instant::now();
    let last = runtime.block_on(async move {
        let (out, mut input) = channel(10);
        tokio::spawn(count(out));
        let mut last = 0;
        for _ in 0..primes {
            last = input.recv().await.unwrap();
            let (out, next) = channel(10);
            tokio::spawn(filter(last, input, out));
            input = next;
        }
        last
    });
    assert!(last > 0);
    println!("{} {}", start.elapsed().as_secs_f64(), rusage::cpu_seconds());
}
