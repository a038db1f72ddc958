#include <iostream>
#include <map>

#include "oneloop/task/run.hpp"
#include "oneloop/thread/to_thread.hpp"
using namespace oneloop;

std::map<std::string, std::string> users{{"ada", "Ada Lovelace"}};  // a slow database

auto look_up(std::string name) {
  return to_thread([=] { return users.at(name); });
}

auto create(std::string name) {
  return to_thread([=] { return users[name] = "new user " + name; });
}

task<std::string> get_or_create(std::string name) {
  try {
    co_return co_await look_up(name);
  } catch (const std::out_of_range&) {  // not found: only then it is created
  }
  co_return co_await create(name);
}

int main(int argc, char** argv) {
  std::cout << run(get_or_create(argc > 1 ? argv[1] : "grace")) << "\n";
}
