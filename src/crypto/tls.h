// SPDX-License-Identifier: Apache-2.0
//
// TLS over a socket that does not block (RFC 8446). 1.3 only unless told otherwise, the groups and ciphers of Mozilla's
// "modern" profile, ALPN "http/1.1" and where wanted "h2", no session tickets (their key would outlive forward secrecy), no renegotiation, no
// compression.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/secret.h"
#include "crypto/x509.h"

namespace redoubt::crypto {

// What a TLS call came to. want_read and want_write: call again when the socket is readable or writable.
enum class TlsOutcome { done, want_read, want_write, closed, failed };

struct TlsIo {
  TlsOutcome outcome = TlsOutcome::failed;
  std::size_t bytes = 0;
};

// One connection over a descriptor that it does not own. For one thread at a time. The process (or the calling thread) has
// to ignore SIGPIPE.
class TlsConnection {
 public:
  ~TlsConnection();
  TlsOutcome handshake();
  TlsIo read(MutableByteView into);
  // Gives the memory of records back, some 32 KiB, until it is needed again: for a connection that waits. Does nothing while one is
  // under way.
  void release_buffers();
  // Whether bytes are here that were read from the socket but not handed out, so that waiting for the socket would be in vain.
  bool holds_input() const;
  // After want_write the same bytes are to be given again, and more may stand behind them.
  TlsIo write(ByteView bytes);
  // Sends close_notify, as far as the socket takes it at once.
  void shutdown();
  std::string protocol() const;  // "TLSv1.3"
  std::string cipher() const;    // "TLS_AES_256_GCM_SHA384"
  std::string alpn() const;      // "http/1.1", or empty
  // Whether the other end proved a certificate that carries this DNS name. For ends of a TlsPeerContext, after the handshake.
  bool peer_is_named(const std::string& dns_name) const;
  // Of the other end's certificate, where it showed one that was verified; nothing otherwise. After the handshake.
  std::optional<CertificateInfo> peer_certificate() const;
  // What the last call that failed came to, for a person: "certificate has expired".
  const std::string& failure() const;

 private:
  friend class TlsServerContext;
  friend class TlsClientContext;
  friend class TlsPeerContext;
  struct State;
  explicit TlsConnection(std::unique_ptr<State> state);
  TlsOutcome outcome_of(int result);
  TlsIo write_batch(ByteView bytes);
  std::unique_ptr<State> state_;
};

enum class ClientCertificates { none, optional, required };

struct TlsServerOptions {
  std::string certificate_pem;  // the chain, leaf first
  Secret private_key_pem;
  bool allow_tls_1_2 = false;  // with forward-secret AEAD ciphers only
  ClientCertificates client_certificates = ClientCertificates::none;
  std::string client_roots_pem = {};  // whose certificates clients may show; one of another CA ends the handshake
  bool offers_http_2 = false;         // "h2" is chosen where the client offers it
};

// Safe to use from several threads.
class TlsServerContext {
 public:
  // invalid_argument when the chain or the key cannot be read or do not belong together.
  static Result<std::shared_ptr<const TlsServerContext>> create(const TlsServerOptions& options);
  ~TlsServerContext();
  Result<std::unique_ptr<TlsConnection>> accept(int fd) const;

 private:
  struct State;
  explicit TlsServerContext(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

// The client's end: TLS 1.2 or 1.3, the server's chain and name checked against the given roots alone.
class TlsClientContext {
 public:
  static Result<std::shared_ptr<const TlsClientContext>> create(std::string_view roots_pem);
  ~TlsClientContext();
  // `host` is the DNS name or the address that the certificate must carry.
  Result<std::unique_ptr<TlsConnection>> connect(int fd, const std::string& host) const;

 private:
  struct State;
  explicit TlsClientContext(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

struct TlsPeerOptions {
  std::string certificate_pem;  // the chain, leaf first; for servers and clients both
  Secret private_key_pem;
  std::string roots_pem;  // whose certificates the other end may have; no other CA counts
};

// Both ends of a connection between equals: TLS 1.3 alone, each end shows a certificate of the given roots or there is no
// connection. Which equal it is, the caller asks with peer_is_named.
class TlsPeerContext {
 public:
  static Result<std::shared_ptr<const TlsPeerContext>> create(const TlsPeerOptions& options);
  ~TlsPeerContext();
  Result<std::unique_ptr<TlsConnection>> accept(int fd) const;
  Result<std::unique_ptr<TlsConnection>> connect(int fd) const;

 private:
  struct State;
  explicit TlsPeerContext(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace redoubt::crypto
