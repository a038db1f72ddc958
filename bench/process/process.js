const { spawn } = require("node:child_process");
let left = Number(process.argv[2]), running = 0, failed = 0;
const begun = process.hrtime.bigint();
function more() {
  while (left > 0 && running < 50) {
    --left;
    ++running;
    spawn("/bin/true", { stdio: ["ignore", "ignore", "inherit"] }).on("exit", (code) => {
      --running;
      if (code !== 0) failed = 1;
      more();
    });
  }
  if (running === 0) {
    const { userCPUTime, systemCPUTime } = process.resourceUsage();
    console.log(Number(process.hrtime.bigint() - begun) / 1e9, (userCPUTime + systemCPUTime) / 1e6);
    process.exit(failed);
  }
}
more();
