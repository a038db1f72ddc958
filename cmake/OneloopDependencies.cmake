# The third-party libraries, as imported targets oneloop_dep::<name>.
#
# oneloop's own build and the installed package both use this file: a program that links static
# oneloop libraries has to find the same libraries again.
include_guard(DIRECTORY)

# _oneloop_find_plain(name HEADER file LIBRARY name...): header and library, no more.
function(_oneloop_find_plain name)
  cmake_parse_arguments(arg "" "HEADER" "LIBRARY" ${ARGN})
  find_path(ONELOOP_${name}_INCLUDE_DIR "${arg_HEADER}")
  find_library(ONELOOP_${name}_LIBRARY NAMES ${arg_LIBRARY})
  mark_as_advanced(ONELOOP_${name}_INCLUDE_DIR ONELOOP_${name}_LIBRARY)
  if(NOT ONELOOP_${name}_INCLUDE_DIR OR NOT ONELOOP_${name}_LIBRARY)
    return()
  endif()
  add_library(oneloop_dep::${name} UNKNOWN IMPORTED GLOBAL)
  set_target_properties(oneloop_dep::${name} PROPERTIES
    IMPORTED_LOCATION "${ONELOOP_${name}_LIBRARY}"
    INTERFACE_INCLUDE_DIRECTORIES "${ONELOOP_${name}_INCLUDE_DIR}")
endfunction()

# _oneloop_wrap(name target...): an imported target that stands for others.
function(_oneloop_wrap name)
  add_library(oneloop_dep::${name} INTERFACE IMPORTED GLOBAL)
  set_target_properties(oneloop_dep::${name} PROPERTIES INTERFACE_LINK_LIBRARIES "${ARGN}")
endfunction()

# oneloop_find_dependency(name): defines oneloop_dep::<name>; in the caller, oneloop_dep_<name>_FOUND
# and, when it is not there, oneloop_dep_<name>_HINT that says what to install.
macro(oneloop_find_dependency name)
  if(NOT TARGET oneloop_dep::${name})
    if("${name}" STREQUAL "boost_context")
      _oneloop_find_plain(boost_context HEADER boost/context/detail/fcontext.hpp LIBRARY boost_context)
    elseif("${name}" STREQUAL "uring")
      _oneloop_find_plain(uring HEADER liburing.h LIBRARY uring)
    elseif("${name}" STREQUAL "cares")
      _oneloop_find_plain(cares HEADER ares.h LIBRARY cares)
    elseif("${name}" STREQUAL "llhttp_library")
      _oneloop_find_plain(llhttp_library HEADER llhttp.h LIBRARY llhttp)
    elseif("${name}" STREQUAL "openssl")
      find_package(OpenSSL 3 QUIET COMPONENTS SSL Crypto)
      if(OpenSSL_FOUND)
        foreach(_oneloop_target OpenSSL::SSL OpenSSL::Crypto)
          get_target_property(_oneloop_global ${_oneloop_target} IMPORTED_GLOBAL)
          if(NOT _oneloop_global)
            set_target_properties(${_oneloop_target} PROPERTIES IMPORTED_GLOBAL TRUE)
          endif()
        endforeach()
        _oneloop_wrap(openssl OpenSSL::SSL OpenSSL::Crypto)
      endif()
    elseif("${name}" STREQUAL "icu")
      _oneloop_find_plain(icu HEADER unicode/uidna.h LIBRARY icuuc)
    endif()
  endif()
  set(_oneloop_debian_boost_context libboost-context-dev)
  set(_oneloop_debian_uring liburing-dev)
  set(_oneloop_debian_cares libc-ares-dev)
  set(_oneloop_debian_openssl libssl-dev)
  set(_oneloop_debian_icu libicu-dev)
  set(_oneloop_debian_llhttp_library node-llhttp)
  if(TARGET oneloop_dep::${name})
    set(oneloop_dep_${name}_FOUND TRUE)
  else()
    set(oneloop_dep_${name}_FOUND FALSE)
    set(oneloop_dep_${name}_HINT
        "oneloop needs ${name}, which was not found (Debian: apt-get install ${_oneloop_debian_${name}})")
  endif()
endmacro()
