// echo.js PORT: an echo server in Node.
const net = require("net");
net.createServer({ noDelay: true }, (s) => {
  s.on("data", (data) => {
    if (!s.write(data)) {
      s.pause();
      s.once("drain", () => s.resume());
    }
  });
  s.on("error", () => s.destroy());
}).listen(Number(process.argv[2]), "127.0.0.1", 1024);
