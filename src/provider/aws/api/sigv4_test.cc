// SPDX-License-Identifier: Apache-2.0
// Expected values: AWS's published test suite for Signature Version 4 and the examples in S3's API reference.
// Many more, and thousands of random requests against botocore's signer, are in tests/aws/sigv4_test.py.
#include "provider/aws/api/sigv4.h"

#include <gtest/gtest.h>

namespace redoubt::provider::aws {
namespace {

TimePoint at(const char* text) { return *parse_rfc3339(text); }

const Secret kSuiteKey{std::string_view("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")};
const Secret kS3Key{std::string_view("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")};
constexpr const char* kEmptyHash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

TEST(Sigv4, get_vanilla_of_the_suite) {
  const SigningScope scope{"us-east-1", "service", at("2015-08-30T12:36:00Z")};
  const SignableRequest request{"GET", "/", {}, {{"Host", "example.amazonaws.com"}, {"X-Amz-Date", "20150830T123600Z"}}, kEmptyHash, false};
  EXPECT_EQ(signature(request, scope, kSuiteKey), "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31");
}

TEST(Sigv4, s3_reference_get_with_range) {
  const SigningScope scope{"us-east-1", "s3", at("2013-05-24T00:00:00Z")};
  const Credentials credentials{"AKIAIOSFODNN7EXAMPLE", kS3Key, {}, {}, {}};
  const SignableRequest request{"GET", "/test.txt", {}, {{"Host", "examplebucket.s3.amazonaws.com"}, {"Range", "bytes=0-9"}}, kEmptyHash, true};
  EXPECT_EQ(*signed_headers(request, scope, credentials).find("authorization"),
            "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, "
            "SignedHeaders=host;range;x-amz-content-sha256;x-amz-date, Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");
}

TEST(Sigv4, s3_reference_presigned_url) {
  const SigningScope scope{"us-east-1", "s3", at("2013-05-24T00:00:00Z")};
  const Credentials credentials{"AKIAIOSFODNN7EXAMPLE", kS3Key, {}, {}, {}};
  const SignableRequest request{"GET", "/test.txt", {}, {{"host", "examplebucket.s3.amazonaws.com"}}, std::string(kUnsignedPayload), true};
  const auto query = presigned_query(request, scope, credentials, 86400);
  EXPECT_TRUE(query.ends_with("&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404")) << query;
}

TEST(Sigv4, s3_reference_chunked_upload) {
  const SigningScope scope{"us-east-1", "s3", at("2013-05-24T00:00:00Z")};
  const SignableRequest request{"PUT",
                                "/examplebucket/chunkObject.txt",
                                {},
                                {{"host", "s3.amazonaws.com"},
                                 {"x-amz-date", "20130524T000000Z"},
                                 {"x-amz-storage-class", "REDUCED_REDUNDANCY"},
                                 {"x-amz-content-sha256", std::string(kStreamingPayload)},
                                 {"content-encoding", "aws-chunked"},
                                 {"x-amz-decoded-content-length", "66560"},
                                 {"content-length", "66824"}},
                                std::string(kStreamingPayload),
                                true};
  const auto seed = signature(request, scope, kS3Key);
  EXPECT_EQ(seed, "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9");
  ChunkSigner signer(scope, kS3Key, seed);
  const std::string chunk(65536, 'a'), rest(1024, 'a');
  EXPECT_EQ(signer.header_of(view_of(chunk)), "10000;chunk-signature=ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648\r\n");
  EXPECT_EQ(signer.header_of(view_of(rest)), "400;chunk-signature=0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497\r\n");
  EXPECT_EQ(signer.header_of({}), "0;chunk-signature=b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9\r\n");
}

}  // namespace
}  // namespace redoubt::provider::aws
