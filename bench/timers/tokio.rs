// timers cancelled|fired N: the same with tokio's sleeps, which are polled once (and dropped) by one task.
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};
use tokio::time::Sleep;

#[path = "../rusage.rs"]
mod rusage;

struct Random(u64);
impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) % n
    }
}

fn main() {
    let fire = std::env::args().nth(1).unwrap() == "fired";
    let n: usize = std::env::args().nth(2).unwrap().parse().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let mut random = Random(1);
    let mut order: Vec<usize> = (0..n).collect();
    for i in (1..n).rev() {
        order.swap(i, random.below(i as u64 + 1) as usize);
    }
    let start = Instant::now();
    runtime.block_on(async move {
        let more = if fire { 0 } else { 10_000_000 };
        let mut timers: Vec<Option<Pin<Box<Sleep>>>> = Vec::with_capacity(n);
        let mut nobody = Context::from_waker(noop());
        for _ in 0..n {
            let mut t = Box::pin(tokio::time::sleep(Duration::from_micros(more + random.below(100_000))));
            let _ = t.as_mut().poll(&mut nobody);
            timers.push(Some(t));
        }
        for i in order {
            let mut t = timers[i].take().unwrap();
            if fire {
                std::future::poll_fn(|c| match t.as_mut().poll(c) {
                    Poll::Ready(()) => Poll::Ready(()),
                    Poll::Pending => Poll::Pending,
                })
                .await;
            }
        }
    });
    println!("{} {}", start.elapsed().as_secs_f64(), rusage::cpu_seconds());
}

fn noop() -> &'static Waker {
    use std::task::{RawWaker, RawWakerVTable};
    fn same(_: *const ()) -> RawWaker {
        RawWaker::new(std::ptr::null(), &TABLE)
    }
    fn nothing(_: *const ()) {}
    static TABLE: RawWakerVTable = RawWakerVTable::new(same, nothing, nothing, nothing);
    static ONE: std::sync::OnceLock<Waker> = std::sync::OnceLock::new();
    ONE.get_or_init(|| unsafe { Waker::from_raw(same(std::ptr::null())) })
}
