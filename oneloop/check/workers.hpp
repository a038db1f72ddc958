// The worker's side of check_model::processes.
//
//     int main(int argc, char** argv) {
//       check_options options;                         // the same in the program and its workers
//       if (auto parent = process::parent_pipe(argc, argv)) {
//         run(serve_checks(*parent, options));
//         return 0;
//       }
//       run(check_urls(urls, report, options.model(check_model::processes)));
//     }
#pragma once

#include "oneloop/base/config.hpp"
#include "oneloop/check/check.hpp"
#include "oneloop/process/message_pipe.hpp"
#include "oneloop/task/task.hpp"

namespace oneloop::inline v0 {

/// Tries the URLs that come from the parent, one after another, until no more come. Of `options` it
/// uses what says how to ask: method, timeout, accept and client. `parent` must stay meanwhile.
[[nodiscard]] ONELOOP_API task<> serve_checks(process::message_pipe& parent, check_options options);

}  // namespace oneloop::inline v0
