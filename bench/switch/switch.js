// switch.js N: two async functions pass N numbers over an unbuffered channel made of promises.
class Channel {
  senders = []; // at most one of each waits here
  receivers = [];

  send(value) {
    const receiver = this.receivers.shift();
    if (receiver) {
      receiver(value);
      return Promise.resolve();
    }
    return new Promise((taken) => this.senders.push({ value, taken }));
  }

  receive() {
    const sender = this.senders.shift();
    if (sender) {
      sender.taken();
      return Promise.resolve(sender.value);
    }
    return new Promise((receiver) => this.receivers.push(receiver));
  }
}

async function sends(channel, n) {
  for (let i = 0; i < n; ++i) await channel.send(i);
}
async function receives(channel, n) {
  let sum = 0;
  for (let i = 0; i < n; ++i) sum += await channel.receive();
  return sum;
}

async function main(n) {
  const channel = new Channel();
  const begun = process.hrtime.bigint();
  const [, sum] = await Promise.all([sends(channel, n), receives(channel, n)]);
  const wall = Number(process.hrtime.bigint() - begun) / 1e9;
  const { user, system } = process.cpuUsage();
  if (sum !== (n * (n - 1)) / 2) process.exit(1);
  console.log(wall, (user + system) / 1e6);
}
main(Number(process.argv[2]));
