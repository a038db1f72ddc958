// Links that nothing is asked for: do they have the form of an address? Internal to check/.
#pragma once

#include "oneloop/url/url.hpp"

namespace oneloop::inline v0::detail {

/// "mailto:a@example.org,b@example.org?subject=x" (RFC 6068): at least one address, in the path or
/// in "to", and each of them has a name and a host.
bool is_mail_link(const url& u);
/// "tel:+49-30-1234;ext=5" (RFC 3966): digits, with what makes them easier to read.
bool is_telephone_link(const url& u);

}  // namespace oneloop::inline v0::detail
