#include "oneloop/net/tls_engine.hpp"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <climits>
#include <cstring>
#include <ctime>
#include <iterator>
#include <list>
#include <mutex>
#include <unordered_map>
#include <utility>

namespace oneloop::inline v0::net {
namespace {

template <auto Free>
struct deleter {
  template <class T>
  void operator()(T* p) const noexcept {
    Free(p);
  }
};
using ctx_ptr = std::unique_ptr<SSL_CTX, deleter<SSL_CTX_free>>;
using ssl_ptr = std::unique_ptr<SSL, deleter<SSL_free>>;
using bio_ptr = std::unique_ptr<BIO, deleter<BIO_free>>;
using x509_ptr = std::unique_ptr<X509, deleter<X509_free>>;
using key_ptr = std::unique_ptr<EVP_PKEY, deleter<EVP_PKEY_free>>;
using session_ptr = std::unique_ptr<SSL_SESSION, deleter<SSL_SESSION_free>>;

class category final : public std::error_category {
 public:
  [[nodiscard]] const char* name() const noexcept override { return "tls"; }
  [[nodiscard]] std::string message(int value) const override {
    switch (static_cast<tls_errc>(value)) {
      case tls_errc::certificate: return "the certificate was not accepted";
      case tls_errc::alert: return "refused by the peer";
      case tls_errc::protocol: return "TLS protocol error";
      case tls_errc::truncated: return "truncated TLS stream";
      case tls_errc::setup: return "TLS cannot be set up";
    }
    return "unknown TLS error";
  }
};

// ---- texts for people ----

/// The reason of the last error in OpenSSL's queue; empties the queue.
std::string take_reason(std::string_view otherwise) {
  const unsigned long code = ERR_peek_last_error();
  std::string text{otherwise};
  if (code != 0) {
    const char* reason = ERR_reason_error_string(code);
    if (reason != nullptr) {
      text = reason;
    } else if (ERR_SYSTEM_ERROR(code)) {
      text = system_code(ERR_GET_REASON(code)).message();
    }
  }
  ERR_clear_error();
  return text;
}

[[noreturn]] void cannot_set_up(std::string_view what, std::string_view cause) {
  throw tls_error{tls_errc::setup, "tls: " + std::string{what} + ": " + std::string{cause}};
}

std::string date_text(const ASN1_TIME* t) {
  std::tm tm{};
  char buffer[32] = "";
  if (t == nullptr || ASN1_TIME_to_tm(t, &tm) != 1) return "an unreadable date";
  std::strftime(buffer, sizeof buffer, "%Y-%m-%d", &tm);
  return buffer;
}

/// A name out of a certificate, fit for a message: the peer chose it.
std::string printable(const unsigned char* data, int size) {
  std::string text;
  for (int i = 0; i < std::min(size, 100); ++i) {
    text += data[i] > 0x20 && data[i] < 0x7f ? static_cast<char>(data[i]) : '?';
  }
  return text;
}

/// The names that a certificate is for, the first few of them.
std::string names_text(const X509* certificate) {
  constexpr int most = 5;
  std::string text;
  int count = 0;
  auto* names = static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr));
  for (int i = 0; names != nullptr && i < sk_GENERAL_NAME_num(names); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(names, i);
    std::string one;
    if (name->type == GEN_DNS) {
      one = printable(ASN1_STRING_get0_data(name->d.dNSName), ASN1_STRING_length(name->d.dNSName));
    } else if (name->type == GEN_IPADD) {
      const ASN1_OCTET_STRING* address = name->d.iPAddress;
      char buffer[INET6_ADDRSTRLEN] = "?";
      const int size = ASN1_STRING_length(address);
      if (size == 4 || size == 16) {
        ::inet_ntop(size == 4 ? AF_INET : AF_INET6, ASN1_STRING_get0_data(address), buffer,
                    sizeof buffer);
      }
      one = buffer;
    } else {
      continue;
    }
    if (++count <= most) text.append(count == 1 ? "" : ", ").append(one);
  }
  GENERAL_NAMES_free(names);
  if (count > most) text.append(" and ").append(std::to_string(count - most)).append(" more");
  return count == 0 ? "no host" : text;
}

/// What is wrong with a certificate, in words.
std::string verification_text(long result, const X509* certificate) {
  std::string text = X509_verify_cert_error_string(result);
  if (certificate == nullptr) return text;
  switch (result) {
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
      return (result == X509_V_ERR_HOSTNAME_MISMATCH ? "hostname mismatch: certificate is for "
                                                     : "IP address mismatch: certificate is for ") +
             names_text(certificate);
    case X509_V_ERR_CERT_HAS_EXPIRED:
      return text + " (on " + date_text(X509_get0_notAfter(certificate)) + ")";
    case X509_V_ERR_CERT_NOT_YET_VALID:
      return text + " (until " + date_text(X509_get0_notBefore(certificate)) + ")";
    default: return text;
  }
}

std::string alert_text(int alert) {
  if (alert == TLS13_AD_CERTIFICATE_REQUIRED) return "certificate required";  // OpenSSL: "unknown"
  return SSL_alert_desc_string_long(alert);
}

// ---- certificates and keys ----

bio_ptr text_bio(std::string_view text) {
  if (text.size() > INT_MAX) cannot_set_up("PEM text", "too large");
  return bio_ptr{BIO_new_mem_buf(text.data(), static_cast<int>(text.size()))};
}

/// OpenSSL would ask on the terminal.
int no_password(char*, int, int, void*) { return -1; }

void use_certificate_text(SSL_CTX* ctx, std::string_view certificate, std::string_view key) {
  const bio_ptr bio = text_bio(certificate);
  const x509_ptr leaf{PEM_read_bio_X509_AUX(bio.get(), nullptr, no_password, nullptr)};
  if (!leaf || SSL_CTX_use_certificate(ctx, leaf.get()) != 1) {
    cannot_set_up("certificate", take_reason("not a PEM certificate"));
  }
  SSL_CTX_clear_chain_certs(ctx);
  for (;;) {
    x509_ptr next{PEM_read_bio_X509(bio.get(), nullptr, no_password, nullptr)};
    if (!next) break;
    SSL_CTX_add0_chain_cert(ctx, next.release());
  }
  ERR_clear_error();  // the end of the text is no error
  const bio_ptr key_bio = text_bio(key);
  const key_ptr private_key{PEM_read_bio_PrivateKey(key_bio.get(), nullptr, no_password, nullptr)};
  if (!private_key || SSL_CTX_use_PrivateKey(ctx, private_key.get()) != 1) {
    cannot_set_up("private key", take_reason("not a PEM key"));
  }
}

template <class Options>
bool use_own_certificate(SSL_CTX* ctx, const Options& o) {
  if (!o.certificate_file.empty()) {
    if (SSL_CTX_use_certificate_chain_file(ctx, o.certificate_file.c_str()) != 1) {
      cannot_set_up("certificate file " + o.certificate_file, take_reason("unreadable"));
    }
    const std::string& key = o.key_file.empty() ? o.certificate_file : o.key_file;
    SSL_CTX_set_default_passwd_cb(ctx, no_password);
    if (SSL_CTX_use_PrivateKey_file(ctx, key.c_str(), SSL_FILETYPE_PEM) != 1) {
      cannot_set_up("key file " + key, take_reason("unreadable"));
    }
  } else if (!o.certificate.empty()) {
    use_certificate_text(ctx, o.certificate, o.key.empty() ? o.certificate : o.key);
  } else {
    return false;
  }
  if (SSL_CTX_check_private_key(ctx) != 1) {
    cannot_set_up("private key", take_reason("does not belong to the certificate"));
  }
  return true;
}

void trust_text(SSL_CTX* ctx, std::string_view text) {
  const bio_ptr bio = text_bio(text);
  int count = 0;
  for (;;) {
    const x509_ptr one{PEM_read_bio_X509_AUX(bio.get(), nullptr, no_password, nullptr)};
    if (!one) break;
    if (X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), one.get()) != 1) {
      cannot_set_up("CA certificate", take_reason("cannot be used"));
    }
    ++count;
  }
  if (count == 0) cannot_set_up("CA certificate", take_reason("not a PEM certificate"));
  ERR_clear_error();
}

/// Certificates from a file and from a text; either may be empty.
void trust(SSL_CTX* ctx, const std::string& file, const std::string& text) {
  if (!file.empty() && SSL_CTX_load_verify_file(ctx, file.c_str()) != 1) {
    cannot_set_up("CA file " + file, take_reason("no certificates in it"));
  }
  if (!text.empty()) trust_text(ctx, text);
}

/// Protocol names as they go over the wire: each after its length.
std::string wire_names(const std::vector<std::string>& names) {
  std::string wire;
  for (const std::string& name : names) {
    if (name.empty() || name.size() > 255)
      cannot_set_up("ALPN", "a name of 1 to 255 bytes is needed");
    wire += static_cast<char>(name.size());
    wire += name;
  }
  return wire;
}

// ---- the BIO: two byte queues ----

/// Bytes that wait: written at the end, read at the front. Holds no memory while it is empty.
class byte_queue {
 public:
  [[nodiscard]] std::span<const std::byte> view() const noexcept {
    return std::span{bytes_}.subspan(begin_);
  }
  void append(std::span<const std::byte> more) {
    if (begin_ > bytes_.size() / 2) {
      bytes_.erase(bytes_.begin(), bytes_.begin() + static_cast<std::ptrdiff_t>(begin_));
      begin_ = 0;
    }
    bytes_.insert(bytes_.end(), more.begin(), more.end());
  }
  void consume(std::size_t size) noexcept {
    begin_ += std::min(size, bytes_.size() - begin_);
    if (begin_ == bytes_.size()) {
      std::vector<std::byte>{}.swap(bytes_);
      begin_ = 0;
    }
  }

 private:
  std::vector<std::byte> bytes_;
  std::size_t begin_ = 0;
};

struct transport {
  byte_queue received, to_send;
  bool ended = false;
};

int bio_read(BIO* bio, char* to, std::size_t size, std::size_t* got) noexcept {
  auto& t = *static_cast<transport*>(BIO_get_data(bio));
  BIO_clear_retry_flags(bio);
  const auto waiting = t.received.view();
  *got = std::min(size, waiting.size());
  if (*got == 0) {
    if (!t.ended) BIO_set_retry_read(bio);
    return 0;
  }
  std::memcpy(to, waiting.data(), *got);
  t.received.consume(*got);
  return 1;
}

int bio_write(BIO* bio, const char* from, std::size_t size, std::size_t* taken) noexcept {
  auto& t = *static_cast<transport*>(BIO_get_data(bio));
  BIO_clear_retry_flags(bio);
  try {
    t.to_send.append(std::as_bytes(std::span{from, size}));
  } catch (const std::bad_alloc&) {
    return 0;
  }
  *taken = size;
  return 1;
}

long bio_ctrl(BIO* bio, int command, long, void*) noexcept {
  auto& t = *static_cast<transport*>(BIO_get_data(bio));
  switch (command) {
    case BIO_CTRL_FLUSH: return 1;
    case BIO_CTRL_EOF: return t.ended && t.received.view().empty() ? 1 : 0;
    default: return 0;
  }
}

const BIO_METHOD* transport_method() {
  static const BIO_METHOD* method = [] {
    BIO_METHOD* m = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "oneloop");
    BIO_meth_set_read_ex(m, bio_read);
    BIO_meth_set_write_ex(m, bio_write);
    BIO_meth_set_ctrl(m, bio_ctrl);
    return m;
  }();
  return method;
}

bool is_ip_address(const std::string& host) noexcept {
  unsigned char buffer[16];
  return ::inet_pton(AF_INET, host.c_str(), buffer) == 1 ||
         ::inet_pton(AF_INET6, host.c_str(), buffer) == 1;
}

}  // namespace

const std::error_category& tls_category() noexcept {
  static const auto& instance = *new category;
  return instance;
}

std::error_code make_error_code(tls_errc e) noexcept {
  return {static_cast<int>(e), tls_category()};
}

tls_client_options::tls_client_options() = default;
tls_client_options::~tls_client_options() = default;
tls_client_options::tls_client_options(const tls_client_options&) = default;
tls_client_options& tls_client_options::operator=(const tls_client_options&) = default;
tls_server_options::tls_server_options() = default;
tls_server_options::~tls_server_options() = default;
tls_server_options::tls_server_options(const tls_server_options&) = default;
tls_server_options& tls_server_options::operator=(const tls_server_options&) = default;

// ---- contexts ----

struct tls_context::impl {
  static constexpr std::size_t most_sessions = 1024;

  explicit impl(bool server) : is_server{server} {
    ERR_clear_error();
    ctx.reset(SSL_CTX_new(server ? TLS_server_method() : TLS_client_method()));
    if (!ctx) cannot_set_up("context", take_reason("out of memory"));
    SSL_CTX_set_options(ctx.get(), SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION);
    SSL_CTX_set_mode(ctx.get(), SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                                    SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  }

  void set_min_version(tls_version v) {
    SSL_CTX_set_min_proto_version(ctx.get(),
                                  v == tls_version::tls1_3 ? TLS1_3_VERSION : TLS1_2_VERSION);
  }

  struct remembered {
    std::string peer;  // "host:port"
    session_ptr session;
  };

  /// The session to resume, if there is one. One of TLS 1.3 serves once, as its RFC asks.
  session_ptr take_session(const std::string& peer) {
    const std::scoped_lock guard{mutex};
    const auto found = by_peer.find(peer);
    if (found == by_peer.end()) return {};
    SSL_SESSION* session = found->second->session.get();
    SSL_SESSION_up_ref(session);
    session_ptr taken{session};
    if (SSL_SESSION_get_protocol_version(session) >= TLS1_3_VERSION) {
      sessions.erase(found->second);
      by_peer.erase(found);
    }
    return taken;
  }

  void remember_session(const std::string& peer, session_ptr session) {
    const std::scoped_lock guard{mutex};
    if (const auto found = by_peer.find(peer); found != by_peer.end()) {
      found->second->session = std::move(session);
      return;
    }
    if (sessions.size() >= most_sessions) {
      by_peer.erase(sessions.front().peer);
      sessions.pop_front();
    }
    sessions.push_back({peer, std::move(session)});
    by_peer.emplace(peer, std::prev(sessions.end()));
  }

  ctx_ptr ctx;
  const bool is_server;
  bool resume = false;
  std::string alpn;  // as over the wire
  mutable std::mutex mutex;
  std::list<remembered> sessions;  // the oldest first
  std::unordered_map<std::string, std::list<remembered>::iterator> by_peer;
};

struct tls_engine::impl {
  impl(std::shared_ptr<tls_context::impl> c, std::string host_, std::uint16_t port)
      : context{std::move(c)}, host{std::move(host_)} {
    ERR_clear_error();
    ssl.reset(SSL_new(context->ctx.get()));
    BIO* bio = ssl ? BIO_new(transport_method()) : nullptr;
    if (bio == nullptr) cannot_set_up("session", take_reason("out of memory"));
    BIO_set_data(bio, &bytes);
    BIO_set_init(bio, 1);
    SSL_set_bio(ssl.get(), bio, bio);
    SSL_set_app_data(ssl.get(), this);
    if (context->is_server) {
      SSL_set_accept_state(ssl.get());
      return;
    }
    SSL_set_connect_state(ssl.get());
    key = host + ":" + std::to_string(port);
    X509_VERIFY_PARAM* param = SSL_get0_param(ssl.get());
    X509_VERIFY_PARAM_set_hostflags(
        param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
    int ok = 1;
    if (is_ip_address(host)) {
      ok = X509_VERIFY_PARAM_set1_ip_asc(param, host.c_str());
    } else {
      ok = SSL_set_tlsext_host_name(ssl.get(), host.c_str()) == 1 &&
           X509_VERIFY_PARAM_set1_host(param, host.data(), host.size());
    }
    if (ok != 1) cannot_set_up("host " + host, take_reason("not a host name"));
    if (context->resume) {
      if (const session_ptr s = context->take_session(key)) SSL_set_session(ssl.get(), s.get());
    }
  }

  ~impl() {
    // Else OpenSSL takes the session of a connection that ended without goodbyes as spoilt.
    if (ssl && shaken && !failure) {
      SSL_set_shutdown(ssl.get(), SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    }
  }
  impl(const impl&) = delete;
  impl& operator=(const impl&) = delete;

  [[noreturn]] void fail(tls_errc code, std::string_view cause) {
    std::string text = "tls";
    if (!host.empty()) text.append(" ").append(host);
    failure = std::make_unique<tls_error>(code, text.append(": ").append(cause));
    ERR_clear_error();
    throw tls_error{*failure};
  }

  void begin_step() {
    if (failure) throw tls_error{*failure};
    ERR_clear_error();
  }

  /// Before a wait: OpenSSL keeps a buffer of 16 KiB for writing once it has read a session ticket.
  void release_buffers() noexcept {
    // Not in the middle of a record, whose header would be lost with them.
    if (SSL_rstate_string(ssl.get()) == std::string_view{"RH"}) SSL_free_buffers(ssl.get());
  }

  /// Why a call of OpenSSL did not succeed. Throws unless it is a matter of waiting or a goodbye.
  tls_state judge(int returned) {
    switch (SSL_get_error(ssl.get(), returned)) {
      case SSL_ERROR_NONE: return tls_state::done;
      case SSL_ERROR_WANT_READ:
      case SSL_ERROR_WANT_WRITE: return tls_state::want_input;
      case SSL_ERROR_ZERO_RETURN: return tls_state::closed;
      default: break;
    }
    const unsigned long code = ERR_peek_last_error();
    const int reason = ERR_GET_REASON(code);
    const bool ours = code != 0 && ERR_GET_LIB(code) == ERR_LIB_SSL;
    if (ours && reason == SSL_R_CERTIFICATE_VERIFY_FAILED) {
      const x509_ptr peer{SSL_get1_peer_certificate(ssl.get())};
      fail(tls_errc::certificate,
           verification_text(SSL_get_verify_result(ssl.get()),
                             failed_certificate ? failed_certificate.get() : peer.get()));
    }
    if (code == 0 || (ours && reason == SSL_R_UNEXPECTED_EOF_WHILE_READING)) {
      fail(tls_errc::truncated, shaken ? "truncated: the stream ended without close_notify"
                                       : "the connection was closed during the handshake");
    }
    if (ours && reason > SSL_AD_REASON_OFFSET) {
      fail(tls_errc::alert, "refused by the peer: " + alert_text(reason - SSL_AD_REASON_OFFSET));
    }
    if (ours && !shaken &&
        (reason == SSL_R_WRONG_VERSION_NUMBER || reason == SSL_R_HTTP_REQUEST ||
         reason == SSL_R_HTTPS_PROXY_REQUEST || reason == SSL_R_PACKET_LENGTH_TOO_LONG)) {
      fail(tls_errc::protocol, "the peer does not speak TLS (" + take_reason("") + ")");
    }
    fail(tls_errc::protocol, take_reason("protocol error"));
  }

  static int on_verify(int ok, X509_STORE_CTX* store) noexcept;
  static int on_new_session(SSL* ssl, SSL_SESSION* session) noexcept;
  static int on_alpn(SSL*, const unsigned char** out, unsigned char* out_size,
                     const unsigned char* in, unsigned in_size, void* context) noexcept;

  std::shared_ptr<tls_context::impl> context;
  std::string host;  // of a client: without brackets and without a dot at its end
  std::string key;   // for remembered sessions
  transport bytes;
  ssl_ptr ssl;
  x509_ptr failed_certificate;  // that the verification stopped at
  std::unique_ptr<tls_error> failure;
  bool shaken = false;  // the handshake was finished; later messages of TLS 1.3 do not change that
  bool goodbye_said = false;
};

tls_context tls_context::client(const tls_client_options& options) {
  auto i = std::make_shared<impl>(false);
  SSL_CTX* ctx = i->ctx.get();
  i->set_min_version(options.min_version);
  i->resume = options.resume;
  trust(ctx, options.ca_file, options.ca);
  const bool own_cas = !options.ca_file.empty() || !options.ca.empty();
  if (options.system_cas || !own_cas) SSL_CTX_set_default_verify_paths(ctx);
  use_own_certificate(ctx, options);
  if (!options.alpn.empty()) {
    const std::string wire = wire_names(options.alpn);
    SSL_CTX_set_alpn_protos(ctx, reinterpret_cast<const unsigned char*>(wire.data()),
                            static_cast<unsigned>(wire.size()));
  }
  SSL_CTX_set_verify(ctx, options.verify ? SSL_VERIFY_PEER : SSL_VERIFY_NONE,
                     tls_engine::impl::on_verify);
  if (options.resume) {
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(ctx, tls_engine::impl::on_new_session);
  }
  ERR_clear_error();
  return tls_context{std::move(i)};
}

tls_context tls_context::server(const tls_server_options& options) {
  auto i = std::make_shared<impl>(true);
  SSL_CTX* ctx = i->ctx.get();
  i->set_min_version(options.min_version);
  if (!use_own_certificate(ctx, options)) cannot_set_up("server", "a certificate is needed");
  if (!options.client_ca_file.empty() || !options.client_ca.empty()) {
    trust(ctx, options.client_ca_file, options.client_ca);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT,
                       tls_engine::impl::on_verify);
  }
  i->alpn = wire_names(options.alpn);
  if (!i->alpn.empty()) SSL_CTX_set_alpn_select_cb(ctx, tls_engine::impl::on_alpn, i.get());
  constexpr std::string_view id = "oneloop";
  SSL_CTX_set_session_id_context(ctx, reinterpret_cast<const unsigned char*>(id.data()),
                                 static_cast<unsigned>(id.size()));
  ERR_clear_error();
  return tls_context{std::move(i)};
}

std::size_t tls_context::remembered_sessions() const {
  const std::scoped_lock guard{impl_->mutex};
  return impl_->sessions.size();
}

// ---- OpenSSL's calls back ----

int tls_engine::impl::on_verify(int ok, X509_STORE_CTX* store) noexcept {
  if (ok == 1) return 1;
  auto* ssl =
      static_cast<SSL*>(X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx()));
  auto& self = *static_cast<impl*>(SSL_get_app_data(ssl));
  X509* certificate = X509_STORE_CTX_get_current_cert(store);
  if (!self.failed_certificate && certificate != nullptr) {
    X509_up_ref(certificate);
    self.failed_certificate.reset(certificate);
  }
  return 0;
}

int tls_engine::impl::on_new_session(SSL* ssl, SSL_SESSION* session) noexcept {
  auto& self = *static_cast<impl*>(SSL_get_app_data(ssl));
  if (SSL_SESSION_is_resumable(session) != 1) return 0;
  session_ptr owned{session};
  try {
    self.context->remember_session(self.key, std::move(owned));
  } catch (const std::bad_alloc&) {
    // Forgetting a session costs a longer handshake, no more; `owned` has freed it.
  }
  return 1;  // the session is ours
}

int tls_engine::impl::on_alpn(SSL*, const unsigned char** out, unsigned char* out_size,
                              const unsigned char* in, unsigned in_size, void* context) noexcept {
  const std::string& ours = static_cast<tls_context::impl*>(context)->alpn;
  unsigned char* chosen = nullptr;
  if (SSL_select_next_proto(&chosen, out_size, reinterpret_cast<const unsigned char*>(ours.data()),
                            static_cast<unsigned>(ours.size()), in,
                            in_size) != OPENSSL_NPN_NEGOTIATED) {
    return SSL_TLSEXT_ERR_ALERT_FATAL;
  }
  *out = chosen;
  return SSL_TLSEXT_ERR_OK;
}

// ---- engines ----

tls_engine::tls_engine(const tls_context& context, std::string_view host, std::uint16_t port) {
  if (context.impl_->is_server) throw misuse{"tls_engine: a server's context for a client"};
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  if (host.ends_with('.')) host.remove_suffix(1);  // in no certificate, and not allowed in SNI
  if (host.empty() || host.find('\0') != host.npos) {
    throw misuse{"tls_engine: a client needs the name of its host"};
  }
  impl_ = std::make_unique<impl>(context.impl_, std::string{host}, port);
}

tls_engine::tls_engine(const tls_context& context) {
  if (!context.impl_->is_server) throw misuse{"tls_engine: a client's context for a server"};
  impl_ = std::make_unique<impl>(context.impl_, std::string{}, std::uint16_t{0});
}

tls_engine::~tls_engine() = default;
tls_engine::tls_engine(tls_engine&&) noexcept = default;
tls_engine& tls_engine::operator=(tls_engine&&) noexcept = default;

tls_state tls_engine::handshake() {
  impl_->begin_step();
  const int r = SSL_do_handshake(impl_->ssl.get());
  if (r == 1) {
    impl_->shaken = true;
    return tls_state::done;
  }
  const tls_state s = impl_->judge(r);
  if (s == tls_state::closed) {
    impl_->fail(tls_errc::truncated, "the connection was closed during the handshake");
  }
  return s;
}

tls_engine::read_result tls_engine::read(std::span<std::byte> to) {
  impl_->begin_step();
  if (!impl_->shaken) throw misuse{"tls_engine: read() before the handshake is done"};
  std::size_t total = 0;
  while (total < to.size()) {
    ERR_clear_error();
    std::size_t got = 0;
    const int r = SSL_read_ex(impl_->ssl.get(), to.data() + total, to.size() - total, &got);
    if (r == 1) {
      total += got;
      continue;
    }
    // What has been read is delivered first; the end or the error comes again with the next call.
    if (total != 0 && SSL_get_error(impl_->ssl.get(), r) != SSL_ERROR_SSL) {
      impl_->release_buffers();
      break;
    }
    try {
      const tls_state s = impl_->judge(r);
      impl_->release_buffers();
      return {0, s};
    } catch (const tls_error&) {
      if (total == 0) throw;
      break;
    }
  }
  return {total, tls_state::done};
}

std::size_t tls_engine::write(std::span<const std::byte> from) {
  impl_->begin_step();
  if (impl_->goodbye_said) throw closed_error{"tls write"};
  if (!impl_->shaken) throw misuse{"tls_engine: write() before the handshake is done"};
  std::size_t total = 0;
  while (total < from.size() && output().size() < max_output) {
    ERR_clear_error();
    std::size_t taken = 0;
    const int r = SSL_write_ex(impl_->ssl.get(), from.data() + total, from.size() - total, &taken);
    if (r != 1) {
      if (impl_->judge(r) == tls_state::closed) throw closed_error{"tls write"};
      break;
    }
    total += taken;
  }
  return total;
}

tls_state tls_engine::shutdown() {
  impl_->begin_step();
  if (!handshake_done()) {
    impl_->goodbye_said = true;
    return tls_state::want_input;
  }
  if (!impl_->goodbye_said) {
    impl_->goodbye_said = true;
    if (SSL_shutdown(impl_->ssl.get()) < 0) ERR_clear_error();
  }
  return (SSL_get_shutdown(impl_->ssl.get()) & SSL_RECEIVED_SHUTDOWN) != 0 ? tls_state::closed
                                                                           : tls_state::want_input;
}

std::span<const std::byte> tls_engine::output() const noexcept {
  return impl_->bytes.to_send.view();
}
void tls_engine::consume_output(std::size_t size) noexcept { impl_->bytes.to_send.consume(size); }
void tls_engine::input(std::span<const std::byte> from) { impl_->bytes.received.append(from); }
void tls_engine::input_ended() noexcept { impl_->bytes.ended = true; }

bool tls_engine::handshake_done() const noexcept { return impl_->shaken; }

std::string_view tls_engine::alpn() const noexcept {
  const unsigned char* name = nullptr;
  unsigned size = 0;
  SSL_get0_alpn_selected(impl_->ssl.get(), &name, &size);
  return {reinterpret_cast<const char*>(name), size};
}

std::string_view tls_engine::version() const noexcept { return SSL_get_version(impl_->ssl.get()); }
std::string_view tls_engine::cipher() const noexcept {
  return SSL_get_cipher_name(impl_->ssl.get());
}
bool tls_engine::resumed() const noexcept { return SSL_session_reused(impl_->ssl.get()) == 1; }

std::string_view tls_engine::server_name() const noexcept {
  const char* name = SSL_get_servername(impl_->ssl.get(), TLSEXT_NAMETYPE_host_name);
  return name == nullptr ? "" : name;
}

std::optional<std::string> tls_engine::certificate_problem() const {
  const long result = SSL_get_verify_result(impl_->ssl.get());
  if (result == X509_V_OK) return std::nullopt;
  return verification_text(result, impl_->failed_certificate.get());
}

}  // namespace oneloop::inline v0::net
