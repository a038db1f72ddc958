// Names shared by every header: the namespace's version and the export mark of the shared library.
//
// Everything public lives in the inline namespace oneloop::v0, so that two incompatible versions
// never meet under one symbol. Nothing here depends on NDEBUG or on a sanitizer: a program and the
// library may be built with different flags and still agree on every layout.
#pragma once

#define ONELOOP_API [[gnu::visibility("default")]]
