#include "oneloop/testing/test_ca.hpp"

#include <arpa/inet.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include <algorithm>

#include "oneloop/base/error.hpp"

namespace oneloop::inline v0::testing {
namespace {

template <auto Free>
struct deleter {
  template <class T>
  void operator()(T* p) const noexcept {
    Free(p);
  }
};
using x509_ptr = std::unique_ptr<X509, deleter<X509_free>>;
using key_ptr = std::unique_ptr<EVP_PKEY, deleter<EVP_PKEY_free>>;
using bio_ptr = std::unique_ptr<BIO, deleter<BIO_free>>;
using extension_ptr = std::unique_ptr<X509_EXTENSION, deleter<X509_EXTENSION_free>>;

constexpr long day = 24L * 60 * 60;

void check(bool ok, const char* what) {
  if (ok) return;
  const char* reason = ERR_reason_error_string(ERR_peek_last_error());
  std::string text =
      std::string{"test_ca: "} + what + ": " + (reason != nullptr ? reason : "failed");
  ERR_clear_error();
  throw error{errc::misuse, text};
}

std::string pem(auto write) {
  const bio_ptr bio{BIO_new(BIO_s_mem())};
  check(bio != nullptr && write(bio.get()) == 1, "PEM");
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);
  return {data, static_cast<std::size_t>(size)};
}

void add_extension(X509* certificate, X509* issuer, int nid, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  const extension_ptr e{X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str())};
  check(e && X509_add_ext(certificate, e.get(), -1) == 1, "extension");
}

std::string alternative_names(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) {
    const bool plain = !name.empty() && name.size() < 254 &&
                       std::ranges::all_of(
                           name,
                           [](char c) {
                             return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
                                    (c >= 'A' && c <= 'Z') ||
                                    std::string_view{".-_*:"}.find(c) != std::string_view::npos;
                           });
    if (!plain) throw misuse{"test_ca: \"" + name + "\" is neither a host name nor an IP address"};
    unsigned char buffer[16];
    const bool ip = ::inet_pton(AF_INET, name.c_str(), buffer) == 1 ||
                    ::inet_pton(AF_INET6, name.c_str(), buffer) == 1;
    if (!text.empty()) text += ',';
    text.append(ip ? "IP:" : "DNS:").append(name);
  }
  if (text.empty()) throw misuse{"test_ca: a certificate needs a name"};
  return text;
}

x509_ptr new_certificate(EVP_PKEY* key, std::string_view name, validity when) {
  x509_ptr certificate{X509_new()};
  X509* c = certificate.get();
  check(c != nullptr, "certificate");
  X509_set_version(c, X509_VERSION_3);
  std::uint64_t serial = 0;
  check(RAND_bytes(reinterpret_cast<unsigned char*>(&serial), sizeof serial) == 1, "random number");
  ASN1_INTEGER_set_uint64(X509_get_serialNumber(c), serial >> 1 | 1);
  const long begin = when == validity::expired ? -30 * day : when == validity::not_yet ? day : -day;
  const long end = when == validity::expired ? -day : 30 * day;
  X509_gmtime_adj(X509_getm_notBefore(c), begin);
  X509_gmtime_adj(X509_getm_notAfter(c), end);
  X509_set_pubkey(c, key);
  check(X509_NAME_add_entry_by_NID(X509_get_subject_name(c), NID_commonName, MBSTRING_UTF8,
                                   reinterpret_cast<const unsigned char*>(name.data()),
                                   static_cast<int>(std::min<std::size_t>(name.size(), 64)), -1,
                                   0) == 1,
        "name");
  return certificate;
}

test_certificate finish(x509_ptr certificate, EVP_PKEY* key, X509* issuer, EVP_PKEY* issuer_key) {
  X509* c = certificate.get();
  X509_set_issuer_name(c, X509_get_subject_name(issuer));
  add_extension(c, issuer, NID_subject_key_identifier, "hash");
  if (issuer != c) add_extension(c, issuer, NID_authority_key_identifier, "keyid:always");
  check(X509_sign(c, issuer_key, EVP_sha256()) > 0, "signature");
  return {pem([&](BIO* b) { return PEM_write_bio_X509(b, c); }), pem([&](BIO* b) {
            return PEM_write_bio_PrivateKey(b, key, nullptr, nullptr, 0, nullptr, nullptr);
          })};
}

key_ptr new_key() {
  key_ptr key{EVP_EC_gen("P-256")};
  check(key != nullptr, "key");
  return key;
}

x509_ptr new_leaf(EVP_PKEY* key, const std::vector<std::string>& names, validity when,
                  std::string_view subject = {}) {
  const std::string alternatives = alternative_names(names);
  x509_ptr c = new_certificate(key, subject.empty() ? names.front() : subject, when);
  add_extension(c.get(), c.get(), NID_basic_constraints, "critical,CA:FALSE");
  add_extension(c.get(), c.get(), NID_key_usage, "critical,digitalSignature");
  add_extension(c.get(), c.get(), NID_ext_key_usage, "serverAuth,clientAuth");
  add_extension(c.get(), c.get(), NID_subject_alt_name, alternatives);
  return c;
}

}  // namespace

struct test_ca::impl {
  key_ptr key;
  x509_ptr certificate;
  std::string text;
};

test_ca::test_ca(std::string_view name) {
  auto i = std::make_shared<impl>();
  i->key = new_key();
  i->certificate = new_certificate(i->key.get(), name, validity::valid);
  X509* c = i->certificate.get();
  add_extension(c, c, NID_basic_constraints, "critical,CA:TRUE");
  add_extension(c, c, NID_key_usage, "critical,keyCertSign,cRLSign");
  X509_up_ref(c);
  i->text = finish(x509_ptr{c}, i->key.get(), c, i->key.get()).certificate;
  impl_ = std::move(i);
}

const std::string& test_ca::certificate() const noexcept { return impl_->text; }

test_certificate test_ca::issue(const std::vector<std::string>& names, validity when,
                                std::string_view subject) const {
  const key_ptr key = new_key();
  return finish(new_leaf(key.get(), names, when, subject), key.get(), impl_->certificate.get(),
                impl_->key.get());
}

test_certificate test_ca::self_signed(const std::vector<std::string>& names, validity when) {
  const key_ptr key = new_key();
  x509_ptr c = new_leaf(key.get(), names, when);
  X509* issuer = c.get();
  return finish(std::move(c), key.get(), issuer, key.get());
}

}  // namespace oneloop::inline v0::testing
