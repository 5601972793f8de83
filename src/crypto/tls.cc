// SPDX-License-Identifier: Apache-2.0
#include "crypto/tls.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <utility>

#include "crypto/certificate_info.h"
#include "crypto/openssl_handles.h"
#include "crypto/socket_bio.h"
#include "crypto/vector_gcm.h"

namespace redoubt::crypto {
namespace {

constexpr char kCiphers13[] = "TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256";
constexpr char kCiphers12[] = "ECDHE+AESGCM:ECDHE+CHACHA20";
constexpr unsigned char kHttp11[] = {8, 'h', 't', 't', 'p', '/', '1', '.', '1'};
constexpr unsigned char kHttp2And11[] = {2, 'h', '2', 8, 'h', 't', 't', 'p', '/', '1', '.', '1'};

// What is sent at once where there is much to send. A record holds 16 KiB; with its header, type, tag and padding it stays below 512 bytes more.
constexpr std::size_t kRecordBytes = 16 << 10, kRecordOverheadMax = 512, kBatchBytes = 128 << 10;

using TlsContext = std::unique_ptr<SSL_CTX, FreeBy<SSL_CTX_free>>;

// A context takes the ciphers that are preferred when it is made.
TlsContext new_tls_context(const SSL_METHOD* method) {
  (void)prefer_vector_gcm();
  return TlsContext(SSL_CTX_new(method));
}

Bio reader_of(ByteView bytes) { return Bio(BIO_new_mem_buf(bytes.data(), static_cast<int>(bytes.size()))); }

bool set_socket(SSL* ssl, int fd) {
  BIO* socket = new_socket_bio(fd);
  if (socket != nullptr) SSL_set_bio(ssl, socket, socket);
  return socket != nullptr;
}

// What failed before is not this call's failure. Clearing a queue takes much longer than to see that it is empty.
void forget_errors() {
  if (ERR_peek_error() != 0) ERR_clear_error();
}

// The most recent OpenSSL failure as a sentence; the queue is empty after it.
std::string openssl_reason() {
  char text[256] = "no reason given";
  if (auto code = ERR_get_error()) ERR_error_string_n(code, text, sizeof text);
  ERR_clear_error();
  return text;
}

// Why a call failed: what was wrong with the other end's certificate says more than "certificate verify failed".
std::string reason_of(SSL* ssl) {
  if (const long verdict = SSL_get_verify_result(ssl); verdict != X509_V_OK) {
    ERR_clear_error();
    return X509_verify_cert_error_string(verdict);
  }
  const unsigned long code = ERR_peek_error();
  const char* said = ERR_reason_error_string(code);
  ERR_clear_error();
  return said ? said : "the connection broke";
}

tl::unexpected<Error> tls_failure(std::string message) {
  return fail(ErrorCode::invalid_argument, std::move(message) + ": " + openssl_reason(), "TLS");
}

// Never asks a terminal for the passphrase of an encrypted key: it is taken for empty.
int empty_passphrase(char*, int, int, void*) { return 0; }

Status load_chain(SSL_CTX* context, const std::string& pem) {
  auto bio = reader_of(view_of(pem));
  Certificate leaf(PEM_read_bio_X509(bio.get(), nullptr, empty_passphrase, nullptr));
  if (!leaf || SSL_CTX_use_certificate(context, leaf.get()) != 1)
    return tls_failure("the certificate cannot be read");
  while (Certificate next{PEM_read_bio_X509(bio.get(), nullptr, empty_passphrase, nullptr)}) {
    if (SSL_CTX_add0_chain_cert(context, next.get()) != 1) return tls_failure("a certificate of the chain cannot be used");
    (void)next.release();
  }
  ERR_clear_error();
  return {};
}

Status load_key(SSL_CTX* context, const Secret& pem) {
  auto bio = reader_of(pem.reveal(SecretAccess::for_crypto()));
  const EvpKey key(PEM_read_bio_PrivateKey(bio.get(), nullptr, empty_passphrase, nullptr));
  if (!key || SSL_CTX_use_PrivateKey(context, key.get()) != 1) return tls_failure("the private key cannot be used");
  if (SSL_CTX_check_private_key(context) != 1) return tls_failure("the private key is not the certificate's");
  return {};
}

Status load_roots(SSL_CTX* context, std::string_view pem) {
  auto* store = SSL_CTX_get_cert_store(context);
  auto bio = reader_of(view_of(pem));
  int roots = 0;
  for (; Certificate root{PEM_read_bio_X509(bio.get(), nullptr, empty_passphrase, nullptr)}; ++roots)
    if (X509_STORE_add_cert(store, root.get()) != 1) return tls_failure("a root certificate cannot be used");
  if (roots == 0) return tls_failure("the text holds no root certificate");
  ERR_clear_error();
  return {};
}

int choose(ByteView known, const unsigned char** out, unsigned char* out_length, ByteView offered) {
  unsigned char* chosen = nullptr;
  if (SSL_select_next_proto(&chosen, out_length, known.data(), static_cast<unsigned>(known.size()), offered.data(), static_cast<unsigned>(offered.size())) !=
      OPENSSL_NPN_NEGOTIATED)
    return SSL_TLSEXT_ERR_ALERT_FATAL;
  *out = chosen;
  return SSL_TLSEXT_ERR_OK;
}

int choose_http_1_1(SSL*, const unsigned char** out, unsigned char* out_length, const unsigned char* offered, unsigned int length, void*) {
  return choose(kHttp11, out, out_length, {offered, length});
}

int choose_http_2(SSL*, const unsigned char** out, unsigned char* out_length, const unsigned char* offered, unsigned int length, void*) {
  return choose(kHttp2And11, out, out_length, {offered, length});
}

Status harden(SSL_CTX* context, bool allow_tls_1_2) {
  char groups[] = "X25519:P-256:P-384";  // OpenSSL's macro casts a constant to a variable
  SSL_CTX_set_options(context,
                      SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_TICKET | SSL_OP_CIPHER_SERVER_PREFERENCE);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  if (SSL_CTX_set_min_proto_version(context, allow_tls_1_2 ? TLS1_2_VERSION : TLS1_3_VERSION) != 1 ||
      SSL_CTX_set_ciphersuites(context, kCiphers13) != 1 || SSL_CTX_set_cipher_list(context, kCiphers12) != 1 ||
      SSL_CTX_set1_groups_list(context, groups) != 1)
    return tls_failure("TLS cannot be set up");
  return {};
}

// Tells clients whose certificates are asked for, and holds them to it.
Status ask_for_certificates(SSL_CTX* context, const TlsServerOptions& options) {
  if (options.client_certificates == ClientCertificates::none) return {};
  TRY(load_roots(context, options.client_roots_pem));
  auto bio = reader_of(view_of(options.client_roots_pem));
  while (const Certificate root{PEM_read_bio_X509(bio.get(), nullptr, empty_passphrase, nullptr)})
    if (SSL_CTX_add_client_CA(context, root.get()) != 1) return tls_failure("a root certificate cannot be used");
  ERR_clear_error();
  const bool required = options.client_certificates == ClientCertificates::required;
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER | (required ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0), nullptr);
  return {};
}

Result<SSL*> connection_over(SSL_CTX* context, int fd) {
  SSL* ssl = SSL_new(context);
  if (!ssl) return fail(ErrorCode::limit_exceeded, "no memory for a TLS connection");
  if (set_socket(ssl, fd)) return ssl;
  SSL_free(ssl);
  return tls_failure("a socket cannot be used");
}

}  // namespace

struct TlsConnection::State {
  explicit State(SSL* connection) : ssl(connection) {}
  ~State() { SSL_free(ssl); }
  State(const State&) = delete;
  State& operator=(const State&) = delete;
  SSL* ssl;
  bool broken = false;  // after a fatal error OpenSSL allows no further call, not even a shutdown
  std::string failure = {};
  BIO* batch = nullptr;      // stands before the socket once much was written; `ssl` owns it
  std::size_t sealed = 0;    // of the caller's bytes, as records in `batch` that the socket has not taken yet
};

TlsConnection::TlsConnection(std::unique_ptr<State> state) : state_(std::move(state)) {}
TlsConnection::~TlsConnection() = default;

TlsOutcome TlsConnection::outcome_of(int result) {
  switch (SSL_get_error(state_->ssl, result)) {
    case SSL_ERROR_NONE: return TlsOutcome::done;
    case SSL_ERROR_WANT_READ: return TlsOutcome::want_read;
    case SSL_ERROR_WANT_WRITE: return TlsOutcome::want_write;
    case SSL_ERROR_ZERO_RETURN: return TlsOutcome::closed;
    default:
      state_->broken = true;
      state_->failure = reason_of(state_->ssl);
      return TlsOutcome::failed;
  }
}

TlsOutcome TlsConnection::handshake() {
  if (state_->broken) return TlsOutcome::failed;
  forget_errors();
  return outcome_of(SSL_do_handshake(state_->ssl));
}

TlsIo TlsConnection::read(MutableByteView into) {
  if (state_->broken) return {};
  forget_errors();
  std::size_t bytes = 0;
  auto outcome = outcome_of(SSL_read_ex(state_->ssl, into.data(), into.size(), &bytes));
  return {outcome, bytes};
}

void TlsConnection::release_buffers() {
  if (!state_->broken && SSL_has_pending(state_->ssl) == 0) SSL_free_buffers(state_->ssl);
}

bool TlsConnection::holds_input() const { return SSL_has_pending(state_->ssl) == 1; }

TlsIo TlsConnection::write(ByteView bytes) {
  if (state_->broken) return {};
  forget_errors();
  if (state_->batch != nullptr || bytes.size() > kRecordBytes) return write_batch(bytes);
  std::size_t written = 0;
  auto outcome = outcome_of(SSL_write_ex(state_->ssl, bytes.data(), bytes.size(), &written));
  return {outcome, written};
}

// Each record on its own would be a call of the system, and would wake up who waits for it at the other end.
TlsIo TlsConnection::write_batch(ByteView bytes) {
  auto& state = *state_;
  if (state.batch == nullptr) {
    state.batch = BIO_new(BIO_f_buffer());
    if (state.batch == nullptr || BIO_set_write_buffer_size(state.batch, kBatchBytes + kBatchBytes / kRecordBytes * kRecordOverheadMax) != 1) return {TlsOutcome::failed, 0};
    BIO* socket = SSL_get_wbio(state.ssl);
    BIO_up_ref(socket);
    SSL_set0_wbio(state.ssl, BIO_push(state.batch, socket));
  }
  const std::size_t most = std::min(bytes.size(), kBatchBytes);
  while (state.sealed < most) {
    std::size_t written = 0;
    const auto outcome = outcome_of(SSL_write_ex(state.ssl, bytes.data() + state.sealed, std::min(most - state.sealed, kRecordBytes), &written));
    if (outcome != TlsOutcome::done) return {outcome, 0};
    state.sealed += written;
  }
  if (BIO_flush(state.batch) != 1) {
    if (BIO_should_retry(state.batch)) return {TlsOutcome::want_write, 0};
    state.broken = true;
    state.failure = reason_of(state.ssl);
    return {TlsOutcome::failed, 0};
  }
  return {TlsOutcome::done, std::exchange(state.sealed, 0)};
}

void TlsConnection::shutdown() {
  if (state_->broken || !SSL_is_init_finished(state_->ssl)) return;
  ERR_clear_error();
  (void)SSL_shutdown(state_->ssl);
  ERR_clear_error();
}

std::string TlsConnection::protocol() const { return SSL_get_version(state_->ssl); }
std::string TlsConnection::cipher() const { return SSL_get_cipher_name(state_->ssl); }

std::string TlsConnection::alpn() const {
  const unsigned char* name = nullptr;
  unsigned int length = 0;
  SSL_get0_alpn_selected(state_->ssl, &name, &length);
  return name ? std::string(reinterpret_cast<const char*>(name), length) : std::string();
}

bool TlsConnection::peer_is_named(const std::string& dns_name) const {
  const Certificate certificate(SSL_get1_peer_certificate(state_->ssl));
  return certificate && SSL_get_verify_result(state_->ssl) == X509_V_OK &&
         X509_check_host(certificate.get(), dns_name.data(), dns_name.size(), X509_CHECK_FLAG_NEVER_CHECK_SUBJECT, nullptr) == 1;
}

std::optional<CertificateInfo> TlsConnection::peer_certificate() const {
  X509* const certificate = SSL_get0_peer_certificate(state_->ssl);
  if (certificate == nullptr || SSL_get_verify_result(state_->ssl) != X509_V_OK) return std::nullopt;
  auto info = info_of(certificate);
  return info ? std::optional(std::move(*info)) : std::nullopt;
}

const std::string& TlsConnection::failure() const { return state_->failure; }

struct TlsServerContext::State {
  TlsContext context;
};

TlsServerContext::TlsServerContext(std::unique_ptr<State> state) : state_(std::move(state)) {}
TlsServerContext::~TlsServerContext() = default;

Result<std::shared_ptr<const TlsServerContext>> TlsServerContext::create(const TlsServerOptions& options) {
  auto state = std::make_unique<State>(State{new_tls_context(TLS_server_method())});
  if (!state->context) return tls_failure("TLS cannot be set up");
  auto* context = state->context.get();
  TRY(harden(context, options.allow_tls_1_2));
  SSL_CTX_set_num_tickets(context, 0);
  SSL_CTX_set_alpn_select_cb(context, options.offers_http_2 ? choose_http_2 : choose_http_1_1, nullptr);
  SSL_CTX_set_read_ahead(context, 1);  // a record's head and body in one call
  TRY(load_chain(context, options.certificate_pem));
  TRY(load_key(context, options.private_key_pem));
  TRY(ask_for_certificates(context, options));
  return std::shared_ptr<const TlsServerContext>(new TlsServerContext(std::move(state)));
}

Result<std::unique_ptr<TlsConnection>> TlsServerContext::accept(int fd) const {
  SSL* ssl = TRY(connection_over(state_->context.get(), fd));
  SSL_set_accept_state(ssl);
  return std::unique_ptr<TlsConnection>(new TlsConnection(std::make_unique<TlsConnection::State>(ssl)));
}

struct TlsClientContext::State {
  TlsContext context;
};

TlsClientContext::TlsClientContext(std::unique_ptr<State> state) : state_(std::move(state)) {}
TlsClientContext::~TlsClientContext() = default;

Result<std::shared_ptr<const TlsClientContext>> TlsClientContext::create(std::string_view roots_pem) {
  auto state = std::make_unique<State>(State{new_tls_context(TLS_client_method())});
  if (!state->context) return tls_failure("TLS cannot be set up");
  auto* context = state->context.get();
  TRY(harden(context, true));
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER, nullptr);
  TRY(load_roots(context, roots_pem));
  return std::shared_ptr<const TlsClientContext>(new TlsClientContext(std::move(state)));
}

Result<std::unique_ptr<TlsConnection>> TlsClientContext::connect(int fd, const std::string& host) const {
  SSL* ssl = SSL_new(state_->context.get());
  if (!ssl) return fail(ErrorCode::limit_exceeded, "no memory for a TLS connection");
  auto state = std::make_unique<TlsConnection::State>(ssl);
  unsigned char address[sizeof(in6_addr)];
  bool is_address = inet_pton(AF_INET, host.c_str(), address) == 1 || inet_pton(AF_INET6, host.c_str(), address) == 1;
  bool named = is_address ? X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host.c_str()) == 1
                          : SSL_set1_host(ssl, host.c_str()) == 1 && SSL_set_tlsext_host_name(ssl, host.c_str()) == 1;
  if (!named || !set_socket(ssl, fd) || SSL_set_alpn_protos(ssl, kHttp11, sizeof kHttp11) != 0)
    return tls_failure("a connection cannot be set up");
  SSL_set_connect_state(ssl);
  return std::unique_ptr<TlsConnection>(new TlsConnection(std::move(state)));
}

struct TlsPeerContext::State {
  TlsContext context;
};

TlsPeerContext::TlsPeerContext(std::unique_ptr<State> state) : state_(std::move(state)) {}
TlsPeerContext::~TlsPeerContext() = default;

Result<std::shared_ptr<const TlsPeerContext>> TlsPeerContext::create(const TlsPeerOptions& options) {
  auto state = std::make_unique<State>(State{new_tls_context(TLS_method())});
  if (!state->context) return tls_failure("TLS cannot be set up");
  auto* context = state->context.get();
  TRY(harden(context, false));
  SSL_CTX_set_num_tickets(context, 0);
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  TRY(load_roots(context, options.roots_pem));
  TRY(load_chain(context, options.certificate_pem));
  TRY(load_key(context, options.private_key_pem));
  return std::shared_ptr<const TlsPeerContext>(new TlsPeerContext(std::move(state)));
}

Result<std::unique_ptr<TlsConnection>> TlsPeerContext::accept(int fd) const {
  SSL* ssl = TRY(connection_over(state_->context.get(), fd));
  SSL_set_accept_state(ssl);
  return std::unique_ptr<TlsConnection>(new TlsConnection(std::make_unique<TlsConnection::State>(ssl)));
}

Result<std::unique_ptr<TlsConnection>> TlsPeerContext::connect(int fd) const {
  SSL* ssl = TRY(connection_over(state_->context.get(), fd));
  SSL_set_connect_state(ssl);
  return std::unique_ptr<TlsConnection>(new TlsConnection(std::make_unique<TlsConnection::State>(ssl)));
}

}  // namespace redoubt::crypto
