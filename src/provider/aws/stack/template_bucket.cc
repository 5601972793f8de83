// SPDX-License-Identifier: Apache-2.0
#include "provider/aws/stack/template_bucket.h"

#include <fmt/format.h>

#include "base/memory_object.h"
#include "crypto/hash.h"
#include "provider/aws/about.h"

namespace redoubt::provider::aws::stack {
namespace {

constexpr const char* kBucketCure = "name a bucket of yours with --template-bucket, or allow s3:CreateBucket, PutEncryptionConfiguration and PutBucketPublicAccessBlock";

Status make_bucket(Client& client, const std::string& bucket) {
  Json input = {{"Bucket", bucket}, {"ObjectOwnership", "BucketOwnerEnforced"}};
  if (client.region() != "us-east-1") input["CreateBucketConfiguration"] = {{"LocationConstraint", client.region()}};
  TRY(client.call("s3", "CreateBucket", input));
  return {};
}

// Each time: whoever made the bucket may have come no further.
Status close_bucket(Client& client, const std::string& bucket) {
  TRY(client.call("s3", "PutPublicAccessBlock",
                  {{"Bucket", bucket}, {"PublicAccessBlockConfiguration", {{"BlockPublicAcls", true}, {"IgnorePublicAcls", true}, {"BlockPublicPolicy", true}, {"RestrictPublicBuckets", true}}}}));
  const Json rule = {{"ApplyServerSideEncryptionByDefault", {{"SSEAlgorithm", "aws:kms"}}}, {"BucketKeyEnabled", true}};
  TRY(client.call("s3", "PutBucketEncryption", {{"Bucket", bucket}, {"ServerSideEncryptionConfiguration", {{"Rules", Json::array({rule})}}}}));
  return {};
}

// Names are easy to guess: what is there under ours must be ours.
Result<bool> is_bucket_there(Client& client, const std::string& bucket, const std::string& owner) {
  RestRequest head;
  head.operation = "HeadBucket";
  head.method = "HEAD";
  head.bucket = bucket;
  head.headers.add("x-amz-expected-bucket-owner", owner);
  MemorySink nowhere;
  const auto answer = client.send(head, nowhere);
  if (answer) return true;
  if (answer.error().code == ErrorCode::not_found) return false;
  return fail_about("s3://" + bucket, answer.error(), kBucketCure);
}

}  // namespace

Result<std::string> publish_template(Client& client, const Template& source, std::string bucket) {
  const auto owner = TRY(client.account());
  const bool is_ours = bucket.empty();
  if (is_ours) bucket = fmt::format("redoubt-templates-{}-{}", owner, client.region());
  if (!TRY(is_bucket_there(client, bucket, owner))) {
    if (!is_ours) return fail(ErrorCode::not_found, "there is no such bucket", "s3://" + bucket, "make it in " + client.region() + ", or leave --template-bucket away");
    if (auto made = make_bucket(client, bucket); !made) return fail_about("s3://" + bucket, std::move(made.error()), kBucketCure);
  }
  if (is_ours) {
    if (auto closed = close_bucket(client, bucket); !closed) return fail_about("s3://" + bucket, std::move(closed.error()), kBucketCure);
  }
  const MemoryObject contents(to_bytes(source.text));
  RestRequest put;
  put.operation = "PutObject";
  put.method = "PUT";
  put.bucket = bucket;
  put.path = fmt::format("/templates/{}.yaml", crypto::sha256(to_bytes(source.text)).hex());
  put.headers.add("x-amz-expected-bucket-owner", owner);
  put.headers.add("x-amz-server-side-encryption", "aws:kms");
  put.upload = &contents;
  put.upload_bytes = contents.size();
  MemorySink nowhere;
  if (auto done = client.send(put, nowhere); !done) return fail_about("s3://" + bucket + put.path, std::move(done.error()), kBucketCure);
  return fmt::format("https://{}.s3.{}.amazonaws.com{}{}", bucket, client.region(), client.partition() == "aws-cn" ? ".cn" : "", put.path);
}

}  // namespace redoubt::provider::aws::stack
