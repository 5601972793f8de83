// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "crypto/aes_gcm.h"
#include "crypto/hash.h"
#include "crypto/sign.h"

namespace redoubt::crypto {
namespace {

Bytes hex(std::string_view text) { return *from_hex(text); }

// FIPS 180-4 example values.
TEST(Sha256, matches_fips_180_4) {
  EXPECT_EQ(sha256("abc").hex(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(sha256("").hex(), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

// RFC 4231, test case 2.
TEST(HmacSha256, matches_rfc_4231) {
  EXPECT_EQ(hmac_sha256(Secret("Jefe"), view_of("what do ya want for nothing?")).hex(),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
}

// What `printf 'hello\n' | git hash-object --stdin` prints.
TEST(GitBlobId, matches_git) { EXPECT_EQ(git_blob_id(view_of("hello\n")), "ce013625030ba8dba906f756967f9e9ca394464a"); }

// McGrew and Viega, "The Galois/Counter Mode of Operation", test case 16.
TEST(AesGcm, matches_the_published_vector) {
  const Secret key(hex("feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308"));
  const auto nonce = hex("cafebabefacedbaddecaf888");
  const auto plaintext = hex("d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525"
                             "b16aedf5aa0de657ba637b39");
  const auto aad = hex("feedfacedeadbeeffeedfacedeadbeefabaddad2");
  auto sealed = aes_gcm_seal(key, nonce, plaintext, aad);
  EXPECT_EQ(to_hex(sealed), "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838"
                            "c5f61e6393ba7a0abcc9f66276fc6ece0f4e1768cddf8853bb2d551b");
  EXPECT_EQ(*aes_gcm_open(key, nonce, sealed, aad), plaintext);
  for (std::size_t i = 0; i < sealed.size(); ++i) {
    sealed[i] ^= 1;
    EXPECT_EQ(aes_gcm_open(key, nonce, sealed, aad).error().code, ErrorCode::tampered);
    sealed[i] ^= 1;
  }
  EXPECT_FALSE(aes_gcm_open(key, nonce, sealed, {}));
}

// RFC 8032 section 7.1, test 3.
TEST(Ed25519, verifies_the_vector_of_rfc_8032) {
  const auto key = *PublicKey::from_ed25519(hex("fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025"));
  const auto signature = hex("6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c"
                             "15e9716ed28dc027beceea1ec40a");
  EXPECT_TRUE(key.verify(hex("af82"), signature));
  EXPECT_FALSE(key.verify(hex("af83"), signature));
  EXPECT_FALSE(key.verify(hex("af82"), {}));
}

TEST(SigningKey, round_trips_through_pem_and_signs) {
  for (auto algorithm : {SignatureAlgorithm::ed25519, SignatureAlgorithm::ecdsa_p256}) {
    const auto key = SigningKey::generate(algorithm);
    const auto again = *SigningKey::from_pem(key.to_pem());
    const auto signature = again.sign(view_of("message"));
    const auto public_key = *PublicKey::from_pem(key.public_key().to_pem());
    EXPECT_TRUE(public_key.verify(view_of("message"), signature));
    EXPECT_FALSE(public_key.verify(view_of("massage"), signature));
    EXPECT_EQ(public_key.key_id(), again.public_key().key_id());
  }
  EXPECT_FALSE(SigningKey::from_pem(Secret("nonsense")));
}

}  // namespace
}  // namespace redoubt::crypto
