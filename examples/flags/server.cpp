// A site with flags for the other programs, as slow and as faulty as it is told to be:
//
//     flags/server [PORT [DELAY_MS [PERCENT_OF_ERRORS]]]
//
// /flags/CC/CC.gif is there for 20 countries; the delay is that, give or take a half.
#include "oneloop/http/server.hpp"

#include <iostream>
#include <random>
#include <set>

#include "oneloop/net/tcp.hpp"
#include "oneloop/task/run.hpp"
using namespace oneloop;

const std::set<std::string_view> countries{"cn", "in", "us", "id", "br", "pk", "ng",
                                           "bd", "ru", "jp", "mx", "ph", "vn", "et",
                                           "eg", "de", "ir", "tr", "cd", "fr"};
// A picture of one pixel.
const std::string gif{"GIF89a\1\0\1\0\x80\0\0\0\0\0\xff\xff\xff,\0\0\0\0\1\0\1\0\0\2\2D\1\0;", 35};

int random_up_to(int n) {
  static std::minstd_rand engine{std::random_device{}()};
  return std::uniform_int_distribution{0, n}(engine);
}

int main(int argc, char** argv) try {
  const std::string port = argc > 1 ? argv[1] : "8001";
  const int delay = argc > 2 ? std::stoi(argv[2]) : 500;
  const int errors = argc > 3 ? std::stoi(argv[3]) : 0;
  auto answer = [=](http::server_request& request) -> task<http::server_response> {
    co_await sleep_for(std::chrono::milliseconds{delay / 2 + random_up_to(delay)});
    const std::string path{request.path()};
    const auto cc = path.substr(std::min(path.size(), std::size_t{7}), 2);
    if (random_up_to(99) < errors) co_return http::server_response{503};
    if (!countries.contains(cc) || path != "/flags/" + cc + "/" + cc + ".gif")
      co_return http::server_response{404};
    co_return http::server_response{}.body(gif, "image/gif");
  };
  net::tcp_listener listener{net::endpoint{"127.0.0.1:" + port}};
  std::cout << "http://" << listener.local_endpoint().to_string() << "/flags" << std::endl;
  run(http::serve(listener, answer));
} catch (const std::exception& e) {
  std::cerr << "flags/server [PORT [DELAY_MS [PERCENT_OF_ERRORS]]]: " << e.what() << "\n";
  return 1;
}
