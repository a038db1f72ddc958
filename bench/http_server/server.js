// server.js PORT: "hello, world\n" to everybody, in Node.
require("http").createServer((request, response) => {
  response.writeHead(200, { "Content-Type": "text/plain", "Content-Length": 13 });
  response.end("hello, world\n");
}).listen(Number(process.argv[2]), "127.0.0.1", 1024);
