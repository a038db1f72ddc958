// switch N: two tasks pass N numbers over a channel of capacity 1 (tokio has no unbuffered one), on
// one thread.
use std::time::Instant;

#[path = "../rusage.rs"]
mod rusage;

fn main() {
    let n: u64 = std::env::args().nth(1).unwrap().parse().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let start = Instant::now();
    let sum = runtime.block_on(async move {
        let (out, mut from) = tokio::sync::mpsc::channel::<u64>(1);
        tokio::spawn(async move {
            for i in 0..n {
                out.send(i).await.unwrap();
            }
        });
        let receiver = tokio::spawn(async move {
            let mut sum = 0;
            while let Some(v) = from.recv().await {
                sum += v;
            }
            sum
        });
        receiver.await.unwrap()
    });
    assert_eq!(sum, n * (n - 1) / 2);
    println!("{} {}", start.elapsed().as_secs_f64(), rusage::cpu_seconds());
}
