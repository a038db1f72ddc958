// Chains of callbacks that do not fit: each line with a comment must be rejected, with one error
// that says what the comment says; the other lines must compile. See chains.
#include <expected>
#include <memory>
#include <string>
#include <vector>

#include "oneloop/deferred/deferred.hpp"
#include "oneloop/deferred/gather.hpp"

using namespace oneloop;

int length(const std::string& s) { return static_cast<int>(s.size()); }

// clang-format off
void chains(deferred<int> d, deferred<std::string> s, deferred<> nothing) {
  d.add_callback([](std::string) {});  // add_callback_does_not_fit a_callable_that_takes<int> <lambda(std::string)>
  d.add_callback(length);  // add_callback_does_not_fit a_callable_that_takes<int> Given=int(*)(conststd::
  d.add_callback([](int, int) {});  // add_callback_does_not_fit a_callable_that_takes<int> <lambda(int,int)>
  d.add_callback([](int&) {});  // add_callback_does_not_fit a_callable_that_takes<int> <lambda(int&)>
  nothing.add_callback([](int) {});  // add_callback_does_not_fit a_callable_that_takes<void> <lambda(int)>
  d.add_callback([](int v) { return std::to_string(v); }).add_callback([](int) {});  // add_callback_does_not_fit basic_string <lambda(int)>
  d.add_callback([](int) { return succeed('c'); }).add_callback([](std::string) {});  // add_callback_does_not_fit takes<char> <lambda(std::string)>
  gather_results(d, s).add_callback([](std::vector<int>) {});  // add_callback_does_not_fit takes<std::tuple<int, <lambda(std::vector<int>)>
  d.add_callbacks([](std::string) {}, [] {});  // add_callback_does_not_fit a_callable_that_takes<int> <lambda(std::string)>
  d.add_callbacks([](int v) { return std::to_string(v); }, [] { return 1.5; });  // add_errback_does_not_fit a_result_like<std:: Given=double
  d.add_errback([](int) { return 1; });  // add_errback_does_not_fit a_callable_that_takes<oneloop::v0::failure> <lambda(int)>
  d.add_errback([](failure) { return std::string{}; });  // add_errback_does_not_fit a_result_like<int> Given=std::
  d.add_errback([](failure) { return succeed(true); });  // add_errback_does_not_fit a_result_like<int> deferred<bool>
  d.add_both([](int) {});  // add_both_does_not_fit a_callable_that_takes<std::expected<int,oneloop::v0::failure> <lambda(int)>
  d.add_timeout(duration{1}, [] {});  // on_timeout_does_not_fit a_callable_that_takes<void(std::expected<int,oneloop::v0::failure> <lambda()>
  d.add_timeout(duration{1}, [](const auto&, duration) { return nullptr; });  // on_timeout_does_not_fit a_result_like<int> Given=std::nullptr_t
  d.callback("one");  // nomatchingfunction deferred<int>::callback(constchar[4])
  nothing.callback(1);  // nomatchingfunction deferred<>::callback(int)
  s.chain_deferred(d);  // cannotconvert deferred<int> deferred<std::
  deferred<int> other = s.add_callback([](std::string v) { return v; });  // conversionfrom deferred<std:: deferred<int>

  d.add_callback([](long) {}).add_callback([] { return 1; }).add_errback([] { return 'c'; });
  s.add_callback(length).add_callback([](auto v) { return v; });
  d.add_both([](std::expected<int, failure> r) { return r; }).add_errback([](failure f) { return f; });
  d.add_callback([](int) { return std::make_unique<int>(1); }).add_callback([](std::unique_ptr<int>&&) {});
}
// clang-format on
