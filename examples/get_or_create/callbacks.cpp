#include <cstdio>
#include <map>
#include <string>

#include "oneloop/deferred/react.hpp"
#include "oneloop/thread/to_thread.hpp"
using namespace oneloop;

std::map<std::string, std::string> users{{"ada", "Ada Lovelace"}};  // a slow database

auto look_up(std::string name) {
  return to_thread([=] { return users.at(name); });
}

auto create(std::string name) {
  return to_thread([=] { return users[name] = "new user " + name; });
}

deferred<> get_or_create(std::string name) {
  return defer(look_up(name))
      .add_errback([=](failure e) { return e.trap<std::out_of_range>(), defer(create(name)); })
      .add_callback([](std::string user) { std::puts(user.c_str()); });
}

int main(int argc, char** argv) { return react(get_or_create, argc > 1 ? argv[1] : "grace"); }
