// SPDX-License-Identifier: Apache-2.0
#include "crypto/vector_gcm.h"

#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <openssl/provider.h>
#include <openssl/ssl.h>

#include <memory>
#include <random>

#include "crypto/aes_gcm.h"

namespace redoubt::crypto {
namespace {

constexpr const char* kPlain = "provider=default";

struct Free {
  void operator()(EVP_CIPHER* cipher) const { EVP_CIPHER_free(cipher); }
  void operator()(EVP_CIPHER_CTX* context) const { EVP_CIPHER_CTX_free(context); }
};

struct Message {
  Bytes key, iv, associated, contents;
};

struct Sealed {
  Bytes contents, tag;
  bool operator==(const Sealed&) const = default;
};

// An operation of one provider's AES-256-GCM, which can be used for message after message.
class Cipher {
 public:
  explicit Cipher(const char* properties) : cipher_(EVP_CIPHER_fetch(nullptr, "AES-256-GCM", properties)), context_(EVP_CIPHER_CTX_new()) {}

  // `pieces`: how many bytes go in at a time, in turn.
  Sealed seal(const Message& message, const std::vector<std::size_t>& pieces) {
    begin(message, 1);
    Sealed sealed{pass(message, message.contents, pieces), Bytes(16)};
    int none = 0;
    EXPECT_EQ(EVP_CipherFinal_ex(context_.get(), sealed.tag.data(), &none), 1);
    EXPECT_EQ(EVP_CIPHER_CTX_ctrl(context_.get(), EVP_CTRL_AEAD_GET_TAG, 16, sealed.tag.data()), 1);
    return sealed;
  }

  // Empty where the tag is another.
  std::optional<Bytes> open(const Message& message, Sealed sealed, const std::vector<std::size_t>& pieces) {
    begin(message, 0);
    EXPECT_EQ(EVP_CIPHER_CTX_ctrl(context_.get(), EVP_CTRL_AEAD_SET_TAG, static_cast<int>(sealed.tag.size()), sealed.tag.data()), 1);
    Bytes plain = pass(message, sealed.contents, pieces);
    int none = 0;
    std::uint8_t unused[16];
    if (EVP_CipherFinal_ex(context_.get(), unused, &none) != 1) return std::nullopt;
    return plain;
  }

  EVP_CIPHER_CTX* context() { return context_.get(); }
  const EVP_CIPHER* cipher() const { return cipher_.get(); }

 private:
  void begin(const Message& message, int encrypting) {
    ASSERT_EQ(EVP_CipherInit_ex(context_.get(), cipher_.get(), nullptr, nullptr, nullptr, encrypting), 1);
    ASSERT_EQ(EVP_CIPHER_CTX_ctrl(context_.get(), EVP_CTRL_AEAD_SET_IVLEN, static_cast<int>(message.iv.size()), nullptr), 1);
    ASSERT_EQ(EVP_CipherInit_ex(context_.get(), nullptr, nullptr, message.key.data(), message.iv.data(), -1), 1);
  }

  Bytes pass(const Message& message, const Bytes& in, const std::vector<std::size_t>& pieces) {
    int count = 0;
    const std::size_t half = message.associated.size() / 2;
    EXPECT_EQ(EVP_CipherUpdate(context_.get(), nullptr, &count, message.associated.data(), static_cast<int>(half)), 1);
    EXPECT_EQ(EVP_CipherUpdate(context_.get(), nullptr, &count, message.associated.data() + half, static_cast<int>(message.associated.size() - half)), 1);
    Bytes out(in.size());
    std::size_t at = 0;
    for (std::size_t i = 0; at < in.size(); ++i) {
      const std::size_t size = std::min(pieces[i % pieces.size()], in.size() - at);
      EXPECT_EQ(EVP_CipherUpdate(context_.get(), out.data() + at, &count, in.data() + at, static_cast<int>(size)), 1);
      EXPECT_EQ(static_cast<std::size_t>(count), size);
      at += size;
    }
    return out;
  }

  std::unique_ptr<EVP_CIPHER, Free> cipher_;
  std::unique_ptr<EVP_CIPHER_CTX, Free> context_;
};

class VectorGcm : public testing::Test {
 protected:
  void SetUp() override {
    if (!prefer_vector_gcm()) GTEST_SKIP() << "this processor has no VAES, or libIPSec_MB is not installed";
  }
  Bytes some(std::size_t size) {
    Bytes bytes(size);
    for (auto& byte : bytes) byte = static_cast<std::uint8_t>(random_());
    return bytes;
  }
  std::size_t below(std::size_t limit) { return random_() % limit; }

 private:
  std::mt19937 random_{20261129};
};

// McGrew and Viega, "The Galois/Counter Mode of Operation", test cases 13 to 18.
TEST_F(VectorGcm, matches_the_published_vectors) {
  const auto hex = [](std::string_view text) { return *from_hex(text); };
  const Bytes key = hex("feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308"), zeros(32);
  const Bytes long_text = hex("d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b391aafd255");
  const Bytes text(long_text.begin(), long_text.end() - 4), associated = hex("feedfacedeadbeeffeedfacedeadbeefabaddad2"), iv = hex("cafebabefacedbaddecaf888");
  const struct {
    Message message;
    std::string_view contents, tag;
  } vectors[] = {
      {{zeros, Bytes(12), {}, {}}, "", "530f8afbc74536b9a963b4f1c4cb738b"},
      {{zeros, Bytes(12), {}, Bytes(16)}, "cea7403d4d606b6e074ec5d3baf39d18", "d0d1c8a799996bf0265b98b5d48ab919"},
      {{key, iv, {}, long_text},
       "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662898015ad",
       "b094dac5d93471bdec1a502270e3cc6c"},
      {{key, iv, associated, text},
       "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662",
       "76fc6ece0f4e1768cddf8853bb2d551b"},
      {{key, hex("cafebabefacedbad"), associated, text},
       "c3762df1ca787d32ae47c13bf19844cbaf1ae14d0b976afac52ff7d79bba9de0feb582d33934a4f0954cc2363bc73f7862ac430e64abe499f47c9b1f",
       "3a337dbf46a792c45e454913fe2ea8f2"},
      {{key, hex("9313225df88406e555909c5aff5269aa6a7a9538534f7da1e4c303d2a318a728c3c0c95156809539fcf0e2429a6b525416aedbf5a0de6a57a637b39b"), associated, text},
       "5a8def2f0c9e53f1f75d7853659e2a20eeb2b22aafde6419a058ab4f6f746bf40fc0c3b780f244452da3ebf1c5d82cdea2418997200ef82e44ae7e3f",
       "a44a8266ee1c8eb0c8b5d4cf5ae9f19a"},
  };
  for (const auto& vector : vectors) {
    for (const char* provider : {kPlain, kVectorGcm}) {
      const auto sealed = Cipher(provider).seal(vector.message, {1 << 20});
      EXPECT_EQ(to_hex(sealed.contents), vector.contents) << provider;
      EXPECT_EQ(to_hex(sealed.tag), vector.tag) << provider;
    }
  }
}

TEST_F(VectorGcm, gives_what_openssl_gives_whatever_the_lengths_and_the_pieces) {
  Cipher ours(kVectorGcm), plain(kPlain);
  for (int round = 0; round < 3000; ++round) {
    const std::size_t size_max = std::size_t{1} << (1 + round % 17);
    const Message message{some(32), some(round % 3 == 0 ? 1 + below(128) : 12), some(below(2) * below(300)), some(below(size_max))};
    const std::vector<std::size_t> pieces = {1 + below(size_max), 1 + below(900), 16, 1 + below(70'000)};
    const auto sealed = ours.seal(message, pieces);
    ASSERT_EQ(sealed, plain.seal(message, {1 << 20})) << round;
    ASSERT_EQ(ours.open(message, sealed, {pieces[1], pieces[0]}), message.contents) << round;
    auto changed = sealed;
    auto& part = changed.contents.empty() || below(2) == 0 ? changed.tag : changed.contents;
    part[below(part.size())] ^= static_cast<std::uint8_t>(1 << below(8));
    ASSERT_FALSE(ours.open(message, changed, pieces)) << round;
    changed = sealed;
    changed.tag.resize(4 + below(12));  // who asks for a shorter tag gets it, as from OpenSSL
    ASSERT_EQ(ours.open(message, changed, pieces), message.contents) << round;
  }
}

TEST_F(VectorGcm, does_nothing_without_a_fresh_iv) {
  Cipher cipher(kVectorGcm);
  const Message message{some(32), some(12), {}, some(100)};
  (void)cipher.seal(message, {100});
  Bytes out(100);
  int count = 0;
  EXPECT_NE(EVP_CipherUpdate(cipher.context(), out.data(), &count, message.contents.data(), 100), 1);
  EXPECT_NE(EVP_CipherFinal_ex(cipher.context(), out.data(), &count), 1);
  EXPECT_EQ(EVP_CipherInit_ex(cipher.context(), nullptr, nullptr, nullptr, message.iv.data(), -1), 1);
  EXPECT_EQ(EVP_CipherUpdate(cipher.context(), out.data(), &count, message.contents.data(), 100), 1);
}

TEST_F(VectorGcm, refuses_a_tag_that_was_never_given) {
  Cipher cipher(kVectorGcm);
  const Message message{some(32), some(12), {}, some(100)};
  ASSERT_EQ(EVP_CipherInit_ex(cipher.context(), cipher.cipher(), nullptr, message.key.data(), message.iv.data(), 0), 1);
  Bytes out(100);
  int count = 0;
  EXPECT_EQ(EVP_CipherUpdate(cipher.context(), out.data(), &count, message.contents.data(), 100), 1);
  EXPECT_NE(EVP_CipherFinal_ex(cipher.context(), out.data(), &count), 1);
}

TEST_F(VectorGcm, goes_on_in_a_copy) {
  const Message message{some(32), some(12), some(20), some(1000)};
  const auto expected = Cipher(kPlain).seal(message, {1000});
  Cipher cipher(kVectorGcm);
  ASSERT_EQ(EVP_CipherInit_ex(cipher.context(), cipher.cipher(), nullptr, message.key.data(), message.iv.data(), 1), 1);
  int count = 0;
  Bytes out(1000), tag(16);
  ASSERT_EQ(EVP_CipherUpdate(cipher.context(), nullptr, &count, message.associated.data(), 20), 1);
  ASSERT_EQ(EVP_CipherUpdate(cipher.context(), out.data(), &count, message.contents.data(), 333), 1);
  const std::unique_ptr<EVP_CIPHER_CTX, Free> copy(EVP_CIPHER_CTX_new());
  ASSERT_EQ(EVP_CIPHER_CTX_copy(copy.get(), cipher.context()), 1);
  ASSERT_EQ(EVP_CipherUpdate(copy.get(), out.data() + 333, &count, message.contents.data() + 333, 667), 1);
  ASSERT_EQ(EVP_CipherFinal_ex(copy.get(), tag.data(), &count), 1);
  ASSERT_EQ(EVP_CIPHER_CTX_ctrl(copy.get(), EVP_CTRL_AEAD_GET_TAG, 16, tag.data()), 1);
  EXPECT_EQ(out, expected.contents);
  EXPECT_EQ(tag, expected.tag);
}

TEST_F(VectorGcm, seals_what_openssl_opens) {
  const Secret key(some(32));
  const Bytes nonce = some(12), associated = some(90), text = some(100'000);
  const Bytes sealed = aes_gcm_seal(key, nonce, text, associated);
  const Message message{Bytes(key.reveal(SecretAccess::for_crypto()).begin(), key.reveal(SecretAccess::for_crypto()).end()), nonce, associated, {}};
  EXPECT_EQ(Cipher(kPlain).open(message, {Bytes(sealed.begin(), sealed.end() - 16), Bytes(sealed.end() - 16, sealed.end())}, {1 << 20}), text);
  EXPECT_EQ(*aes_gcm_open(key, nonce, sealed, associated), text);
}

// A connection between an end with this cipher and one of OpenSSL's alone, over memory.
class Connection {
 public:
  Connection(bool client_is_ours, int version) {
    plain_library_ = OSSL_LIB_CTX_new();
    plain_provider_ = OSSL_PROVIDER_load(plain_library_, "default");
    client_context_ = SSL_CTX_new_ex(client_is_ours ? nullptr : plain_library_, nullptr, TLS_client_method());
    server_context_ = SSL_CTX_new_ex(client_is_ours ? plain_library_ : nullptr, nullptr, TLS_server_method());
    EVP_PKEY* key = EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", "P-256");
    X509* certificate = X509_new();
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
    X509_gmtime_adj(X509_getm_notBefore(certificate), 0);
    X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
    X509_set_pubkey(certificate, key);
    X509_sign(certificate, key, EVP_sha256());
    SSL_CTX_use_certificate(server_context_, certificate);
    SSL_CTX_use_PrivateKey(server_context_, key);
    X509_free(certificate);
    EVP_PKEY_free(key);
    for (SSL_CTX* context : {client_context_, server_context_}) {
      SSL_CTX_set_min_proto_version(context, version);
      SSL_CTX_set_max_proto_version(context, version);
      SSL_CTX_set_ciphersuites(context, "TLS_AES_256_GCM_SHA384");
      SSL_CTX_set_cipher_list(context, "ECDHE-ECDSA-AES256-GCM-SHA384");
    }
    client_ = SSL_new(client_context_);
    server_ = SSL_new(server_context_);
    BIO *client_end = nullptr, *server_end = nullptr;
    BIO_new_bio_pair(&client_end, 1 << 20, &server_end, 1 << 20);
    SSL_set_bio(client_, client_end, client_end);
    SSL_set_bio(server_, server_end, server_end);
    SSL_set_connect_state(client_);
    SSL_set_accept_state(server_);
  }
  ~Connection() {
    SSL_free(client_);
    SSL_free(server_);
    SSL_CTX_free(client_context_);
    SSL_CTX_free(server_context_);
    OSSL_PROVIDER_unload(plain_provider_);
    OSSL_LIB_CTX_free(plain_library_);
  }
  bool shake_hands() {
    for (int turn = 0; turn < 20; ++turn) {
      SSL_do_handshake(client_);
      SSL_do_handshake(server_);
    }
    return SSL_is_init_finished(client_) && SSL_is_init_finished(server_);
  }
  SSL* client() { return client_; }
  SSL* server() { return server_; }

 private:
  OSSL_LIB_CTX* plain_library_;
  OSSL_PROVIDER* plain_provider_;
  SSL_CTX *client_context_, *server_context_;
  SSL *client_, *server_;
};

Bytes carried(SSL* from, SSL* to, const Bytes& bytes) {
  std::size_t written = 0, count = 0;
  EXPECT_EQ(SSL_write_ex(from, bytes.data(), bytes.size(), &written), 1);
  Bytes out(bytes.size());
  for (std::size_t at = 0; at < out.size(); at += count)
    if (SSL_read_ex(to, out.data() + at, out.size() - at, &count) != 1) return {};
  return out;
}

TEST_F(VectorGcm, speaks_tls_with_openssl_s_own_both_ways) {
  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    for (const bool client_is_ours : {true, false}) {
      Connection connection(client_is_ours, version);
      ASSERT_TRUE(connection.shake_hands()) << version << client_is_ours;
      for (const std::size_t size : {1, 15, 16, 17, 1000, 16384, 100'000}) {
        const Bytes bytes = some(size);
        EXPECT_EQ(carried(connection.client(), connection.server(), bytes), bytes) << version << client_is_ours << size;
        EXPECT_EQ(carried(connection.server(), connection.client(), bytes), bytes) << version << client_is_ours << size;
      }
    }
  }
}

TEST_F(VectorGcm, ends_a_connection_over_a_record_that_was_changed) {
  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    Connection connection(true, version);
    ASSERT_TRUE(connection.shake_hands());
    std::uint8_t record[100] = {23, 3, 3, 0, 95};
    ASSERT_EQ(BIO_write(SSL_get_wbio(connection.server()), record, sizeof record), 100);
    std::size_t count = 0;
    std::uint8_t into[100];
    EXPECT_NE(SSL_read_ex(connection.client(), into, sizeof into, &count), 1);
    EXPECT_EQ(SSL_get_error(connection.client(), 0), SSL_ERROR_SSL);
  }
}

}  // namespace
}  // namespace redoubt::crypto
