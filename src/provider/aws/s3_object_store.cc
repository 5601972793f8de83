// SPDX-License-Identifier: Apache-2.0
#include "provider/aws/s3_object_store.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/memory_object.h"
#include "crypto/hash.h"
#include "provider/aws/about.h"
#include "provider/aws/api/xml.h"
#include "provider/aws/s3_object.h"
#include "provider/aws/s3_upload.h"

namespace redoubt::provider::aws {
namespace {

constexpr std::size_t kPartBytesMin = 5 << 20;
constexpr std::size_t kPrefixBytesMax = 256;
constexpr int kLongPartsFrom = 4000;  // parts beyond it are four times as long, so that 10,000 of them reach far

bool is_bucket(std::string_view name) {
  const auto is_inner = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.'; };
  return name.size() >= 3 && name.size() <= 63 && std::all_of(name.begin(), name.end(), is_inner) && name.front() != '-' && name.front() != '.' &&
         name.back() != '-' && name.back() != '.' && name.find("..") == name.npos;
}

bool is_prefix(std::string_view prefix) {
  return prefix.empty() || (prefix.ends_with('/') && prefix.size() <= kPrefixBytesMax && is_object_key(prefix.substr(0, prefix.size() - 1)));
}

// Reads until the part is full or the source ends.
Result<Bytes> read_part(Source& source, std::size_t bytes_max) {
  Bytes part(bytes_max);
  std::size_t filled = 0;
  while (filled < part.size()) {
    const auto count = TRY(source.read(MutableByteView(part).subspan(filled)));
    if (count == 0) break;
    filled += count;
  }
  part.resize(filled);
  return part;
}

bool is_taken(const Error& error) { return is_service_error(error, "PreconditionFailed"); }

}  // namespace

tl::unexpected<Error> fail_s3(const std::string& uri, Error error) {
  std::string hint = "allow the action on the bucket and its objects, and the use of its KMS key, in the role's policy";
  if (is_service_error(error, "NoSuchBucket")) hint = "make the bucket with 'redoubt aws up', or name one that is there";
  if (is_service_error(error, "PermanentRedirect") || is_service_error(error, "AuthorizationHeaderMalformed")) hint = "name the bucket's own region in the block 'aws'";
  if (error.message.find("KMS") != error.message.npos && error.code != ErrorCode::permission_denied) hint = "check that the KMS key is there, enabled and in the bucket's region";
  return fail_about(uri, std::move(error), hint);
}

Result<std::unique_ptr<S3ObjectStore>> S3ObjectStore::create(S3ObjectStoreOptions options, Client& client) {
  if (!is_bucket(options.bucket)) return fail(ErrorCode::invalid_argument, "not a bucket's name", options.bucket, "3 to 63 small letters, digits, '-' and '.'");
  if (!is_prefix(options.prefix)) return fail(ErrorCode::invalid_argument, "not a prefix of objects' keys", options.prefix, "write parts of [A-Za-z0-9._-], each with a '/' behind it");
  if (options.kms_key.empty()) return fail(ErrorCode::invalid_argument, "no KMS key for the bucket's objects", "s3://" + options.bucket, "name one");
  options.part_bytes = std::max(options.part_bytes, kPartBytesMin);
  return std::unique_ptr<S3ObjectStore>(new S3ObjectStore(std::move(options), client));
}

std::string S3ObjectStore::uri_of(std::string_view key) const { return fmt::format("s3://{}/{}{}", options_.bucket, options_.prefix, key); }

Result<std::string> S3ObjectStore::path_of(std::string_view key) const {
  if (!is_object_key(key)) return fail(ErrorCode::invalid_argument, "not a key for an object", std::string(key.substr(0, 512)));
  return fmt::format("/{}{}", options_.prefix, key);
}

RestRequest S3ObjectStore::request(std::string operation, std::string method, std::string path) const {
  RestRequest request;
  request.operation = std::move(operation);
  request.method = std::move(method);
  request.bucket = options_.bucket;
  request.path = std::move(path);
  if (!options_.owner.empty()) request.headers.add("x-amz-expected-bucket-owner", options_.owner);
  return request;
}

http::Headers S3ObjectStore::write_headers(PutMode mode) const {
  http::Headers headers{{"x-amz-server-side-encryption", "aws:kms"},
                        {"x-amz-server-side-encryption-aws-kms-key-id", options_.kms_key},
                        {"x-amz-server-side-encryption-bucket-key-enabled", "true"},
                        {"content-type", "application/octet-stream"}};
  if (mode == PutMode::create_only) headers.add("if-none-match", "*");
  return headers;
}

Status S3ObjectStore::put(std::string_view key, Source& contents, PutMode mode) {
  const auto path = TRY(path_of(key));
  const auto uri = uri_of(key);
  const auto judged = [&](Status status) -> Status {
    if (status) return {};
    if (mode == PutMode::create_only && is_taken(status.error())) return fail(ErrorCode::already_exists, "the key is taken", uri);
    return fail_s3(uri, std::move(status.error()));
  };
  auto part = TRY(read_part(contents, options_.part_bytes));
  if (part.size() < options_.part_bytes) {
    auto whole = request("PutObject", "PUT", path);
    for (const auto& header : write_headers(mode)) whole.headers.add(header.name, header.value);
    whole.headers.add("x-amz-checksum-sha256", to_base64(crypto::sha256(part).bytes()));
    whole.upload_bytes = part.size();
    const MemoryObject object(std::move(part));
    whole.upload = &object;
    MemorySink nowhere;
    const auto answer = client_.send(whole, nowhere);
    return judged(answer ? Status{} : fail(answer.error()));
  }
  // What is taken already need not be sent first.
  if (mode == PutMode::create_only && open(key)) return fail(ErrorCode::already_exists, "the key is taken", uri);
  auto upload = S3Upload::begin(client_, request("", "PUT", path), write_headers(PutMode::replace), options_.parts_at_once);
  if (!upload) return fail_s3(uri, std::move(upload.error()));
  for (int number = 1; !part.empty(); ++number) {
    TRY(judged((*upload)->add(std::move(part))));
    part = TRY(read_part(contents, number < kLongPartsFrom ? options_.part_bytes : options_.part_bytes * 4));
  }
  return judged((*upload)->complete(mode == PutMode::create_only ? http::Headers{{"if-none-match", "*"}} : http::Headers{}));
}

Result<std::unique_ptr<RandomAccess>> S3ObjectStore::open(std::string_view key) {
  const auto path = TRY(path_of(key));
  MemorySink nowhere;
  auto head = client_.send(request("HeadObject", "HEAD", path), nowhere);
  if (!head && head.error().code == ErrorCode::not_found) return fail(ErrorCode::not_found, "no such object", uri_of(key));
  if (!head) return fail_s3(uri_of(key), std::move(head.error()));
  const auto* length = head->headers.find("content-length");
  const auto* etag = head->headers.find("etag");
  const auto* version = head->headers.find("x-amz-version-id");
  if (length == nullptr || etag == nullptr) return fail(ErrorCode::unavailable, "S3 tells no length and ETag of the object", uri_of(key));
  auto get = request("GetObject", "GET", path);
  get.headers.add("if-match", *etag);
  if (version != nullptr && *version != "null") get.query.emplace_back("versionId", *version);
  return std::make_unique<S3Object>(client_, std::move(get), uri_of(key), S3Object::Options{std::strtoull(length->c_str(), nullptr, 10), options_.block_bytes, options_.blocks_ahead});
}

Result<std::vector<std::string>> S3ObjectStore::list(std::string_view prefix) {
  constexpr std::array<std::string_view, 1> kLists = {"Contents"};
  std::vector<std::string> keys;
  std::string next;
  do {
    auto page = request("ListObjectsV2", "GET", "/");
    page.query = {{"list-type", "2"}, {"prefix", options_.prefix + std::string(prefix)}};
    if (!next.empty()) page.query.emplace_back("continuation-token", next);
    MemorySink sink;
    const auto answer = client_.send(page, sink);
    if (!answer) return fail_s3(uri_of(prefix), answer.error());
    const auto document = TRY(parse_xml(to_text(sink.take()), "s3.ListObjectsV2", {.lists = kLists}));
    for (const auto& object : json_or(document.value, "Contents", Json::array())) {
      auto key = json_or(object, "Key", "").substr(options_.prefix.size());
      if (is_object_key(key)) keys.push_back(std::move(key));
    }
    auto token = json_or(document.value, "NextContinuationToken", "");
    if (!token.empty() && token == next) return fail(ErrorCode::unavailable, "the listing gives the same page again and again", uri_of(prefix));
    next = std::move(token);
  } while (!next.empty());
  std::sort(keys.begin(), keys.end());
  return keys;
}

Status S3ObjectStore::remove_version(std::string_view key, const std::string& version) {
  auto wanted = request("DeleteObject", "DELETE", TRY(path_of(key)));
  if (!version.empty()) wanted.query = {{"versionId", version}};
  MemorySink nowhere;
  const auto answer = client_.send(wanted, nowhere);
  if (!answer) return fail_s3(uri_of(key), answer.error());
  return {};
}

// Versions and the markers of earlier removals; a listing goes by prefix, so it may name other keys as well.
Status S3ObjectStore::remove_versions(std::string_view key) {
  constexpr std::array<std::string_view, 2> kLists = {"Version", "DeleteMarker"};
  const std::string whole = options_.prefix + std::string(key);
  for (bool found = true; found;) {
    found = false;
    auto page = request("ListObjectVersions", "GET", "/");
    page.query = {{"versions", ""}, {"prefix", whole}};
    MemorySink sink;
    const auto answer = client_.send(page, sink);
    if (!answer) return fail_s3(uri_of(key), answer.error());
    const auto document = TRY(parse_xml(to_text(sink.take()), "s3.ListObjectVersions", {.lists = kLists}));
    for (const auto list : kLists) {
      for (const auto& version : json_or(document.value, std::string(list).c_str(), Json::array())) {
        if (json_or(version, "Key", "") != whole) continue;
        TRY(remove_version(key, json_or(version, "VersionId", "null")));
        found = true;
      }
    }
  }
  return {};
}

Status S3ObjectStore::remove(std::string_view key) {
  (void)TRY(open(key));  // S3 removes what is not there without a word
  return options_.keep_versions ? remove_version(key, "") : remove_versions(key);
}

}  // namespace redoubt::provider::aws
