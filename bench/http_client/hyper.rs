// hyper BASE COUNT CONCURRENCY [pool]: hyper on tokio, on one thread, as many tasks as requests at a time: each on a
// connection of its own, or all through hyper's pooling client.
use std::{cell::Cell, rc::Rc, time::Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::{Request, Response, Uri};
use hyper_util::client::legacy::{connect::HttpConnector, Client};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

#[path = "../rusage.rs"]
mod rusage;

struct Job {
    base: String,
    count: usize,
    next: Cell<usize>,
}

impl Job {
    fn next(&self) -> Option<Uri> {
        let i = self.next.replace(self.next.get() + 1);
        (i < self.count).then(|| format!("{}{}", self.base, i).parse().unwrap())
    }
}

async fn check(response: Response<Incoming>) {
    assert_eq!(response.status(), 200);
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes().len(), 1024);
}

async fn on_a_connection(job: Rc<Job>) {
    let base: Uri = job.base.parse().unwrap();
    let host = base.authority().unwrap().as_str();
    let stream = TcpStream::connect(host).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::task::spawn_local(connection);
    while let Some(uri) = job.next() {
        let request = Request::get(uri.path()).header("host", host).body(Empty::<Bytes>::new()).unwrap();
        check(sender.send_request(request).await.unwrap()).await;
        sender.ready().await.unwrap();
    }
}

async fn through_the_pool(job: Rc<Job>, client: Client<HttpConnector, Empty<Bytes>>) {
    while let Some(uri) = job.next() {
        check(client.get(uri).await.unwrap()).await;
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let concurrency: usize = arguments[3].parse().unwrap();
    let job = Rc::new(Job { base: arguments[1].clone(), count: arguments[2].parse().unwrap(), next: Cell::new(0) });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (begun, before) = (Instant::now(), rusage::cpu_seconds());
    tokio::task::LocalSet::new().block_on(&runtime, async {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new()).build(connector);
        let all: Vec<_> = (0..concurrency)
            .map(|_| match arguments.get(4) {
                None => tokio::task::spawn_local(on_a_connection(job.clone())),
                Some(_) => tokio::task::spawn_local(through_the_pool(job.clone(), client.clone())),
            })
            .collect();
        for one in all {
            one.await.unwrap();
        }
    });
    println!("{} {}", begun.elapsed().as_secs_f64(), rusage::cpu_seconds() - before);
}
