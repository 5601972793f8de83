// SPDX-License-Identifier: Apache-2.0
#include "provider/aws/s3_object_store.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/log.h"
#include "base/memory_object.h"
#include "crypto/hash.h"
#include "crypto/random.h"
#include "provider/aws/about.h"
#include "provider/aws/api/xml.h"
#include "provider/aws/s3_object.h"
#include "provider/aws/s3_upload.h"

namespace redoubt::provider::aws {
namespace {

constexpr std::size_t kPartBytesMin = 5 << 20;
constexpr std::size_t kPrefixBytesMax = 256;
constexpr std::string_view kMark = "x-amz-meta-redoubt-put";
constexpr auto kUploadAge = std::chrono::hours(24);
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

}  // namespace

tl::unexpected<Error> fail_s3(const std::string& uri, Error error) {
  const bool is_key_s = error.message.starts_with("KMS.") && error.code != ErrorCode::permission_denied && error.code != ErrorCode::unavailable;
  std::string hint = "allow the action on the bucket and its objects, and the use of its KMS key, in the role's policy";
  if (is_service_error(error, "NoSuchBucket")) hint = "make the bucket (config/cloudformation_template.yaml), or name one that is there";
  if (is_service_error(error, "PermanentRedirect") || is_service_error(error, "AuthorizationHeaderMalformed")) hint = "name the bucket's own region in the block 'aws'";
  if (is_key_s) hint = "check that the KMS key is there, enabled and in the bucket's region";
  // What is missing there is not the object.
  if (is_key_s || is_service_error(error, "NoSuchBucket")) error.code = ErrorCode::invalid_argument;
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

http::Headers S3ObjectStore::write_headers(PutMode mode, const std::string& mark) const {
  http::Headers headers{{"x-amz-server-side-encryption", "aws:kms"},
                        {"x-amz-server-side-encryption-aws-kms-key-id", options_.kms_key},
                        {"x-amz-server-side-encryption-bucket-key-enabled", "true"},
                        {"content-type", "application/octet-stream"},
                        {std::string(kMark), mark}};
  if (mode == PutMode::create_only) headers.add("if-none-match", "*");
  return headers;
}

Status S3ObjectStore::put(std::string_view key, Source& contents, PutMode mode) {
  (void)TRY(path_of(key));
  const auto mark = to_hex(crypto::random_bytes(16));
  auto first = TRY(read_part(contents, options_.part_bytes));
  return first.size() < options_.part_bytes ? put_whole(key, std::move(first), mode, mark) : put_parts(key, std::move(first), contents, mode, mark);
}

Status S3ObjectStore::put_whole(std::string_view key, Bytes contents, PutMode mode, const std::string& mark) {
  auto whole = request("PutObject", "PUT", TRY(path_of(key)));
  for (const auto& header : write_headers(mode, mark)) whole.headers.add(header.name, header.value);
  const auto checksum = to_base64(crypto::sha256(contents).bytes());
  whole.headers.add("x-amz-sdk-checksum-algorithm", "SHA256");
  whole.headers.add("x-amz-checksum-sha256", checksum);
  whole.headers.add(std::string(kSha256Mark), checksum);  // S3 tells its own only to some requests
  whole.upload_bytes = contents.size();
  const MemoryObject object(std::move(contents));
  whole.upload = &object;
  MemorySink nowhere;
  const auto answer = client_.send(whole, nowhere);
  return judge_put(key, answer ? Status{} : fail(answer.error()), mode, mark);
}

Status S3ObjectStore::put_parts(std::string_view key, Bytes first, Source& rest, PutMode mode, const std::string& mark) {
  // What is taken already need not be sent first.
  if (mode == PutMode::create_only && head(key)) return fail(ErrorCode::already_exists, "the key is taken", uri_of(key));
  // Tidying up: the upload itself says what is wrong with the bucket.
  if (const auto tidied = give_up_old_uploads(key); !tidied) spdlog::debug("unfinished uploads of {} are not given up: {}", uri_of(key), tidied.error().message);
  auto begun = S3Upload::begin(client_, request("", "PUT", TRY(path_of(key))), write_headers(PutMode::replace, mark), options_.parts_at_once);
  if (!begun) return fail_s3(uri_of(key), std::move(begun.error()));
  auto& upload = **begun;
  for (int number = 1; !first.empty(); ++number) {
    if (auto added = upload.add(std::move(first)); !added) return fail_s3(uri_of(key), std::move(added.error()));
    first = TRY(read_part(rest, number < kLongPartsFrom ? options_.part_bytes : options_.part_bytes * 4));
  }
  const auto completed = upload.complete(mode == PutMode::create_only ? http::Headers{{"if-none-match", "*"}} : http::Headers{});
  auto judged = judge_put(key, completed, mode, mark);
  if (judged) upload.is_complete();
  return judged;
}

// A refusal of what was asked a second time may be the answer to the first, which was lost.
Status S3ObjectStore::judge_put(std::string_view key, Status status, PutMode mode, const std::string& mark) {
  if (status) return {};
  auto& error = status.error();
  const bool is_taken = mode == PutMode::create_only && is_service_error(error, "PreconditionFailed");
  const bool is_contested = is_service_error(error, "ConditionalRequestConflict");
  if (is_taken || is_contested || is_service_error(error, "NoSuchUpload") || error.code == ErrorCode::unavailable) {
    const auto there = head(key);
    const auto* found = there ? there->headers.find(kMark) : nullptr;
    if (found != nullptr && *found == mark) return {};
    if (is_taken || (is_contested && there && mode == PutMode::create_only)) return fail(ErrorCode::already_exists, "the key is taken", uri_of(key));
  }
  return fail_s3(uri_of(key), std::move(error));
}

Result<RestAnswer> S3ObjectStore::head(std::string_view key) const {
  MemorySink nowhere;
  return client_.send(request("HeadObject", "HEAD", TRY(path_of(key))), nowhere);
}

Result<std::unique_ptr<RandomAccess>> S3ObjectStore::open(std::string_view key) {
  auto get = request("GetObject", "GET", TRY(path_of(key)));
  auto start = get_range(client_, get, 0, options_.start_bytes);
  if (!start && is_service_error(start.error(), "InvalidRange")) return std::make_unique<MemoryObject>(Bytes());  // no byte is in an empty object
  if (!start && start.error().code == ErrorCode::not_found && !is_service_error(start.error(), "NoSuchBucket") && !start.error().message.starts_with("KMS.")) {
    return fail(ErrorCode::not_found, "no such object", uri_of(key));
  }
  if (!start) return fail_s3(uri_of(key), std::move(start.error()));
  const auto* etag = start->headers.find("etag");
  const auto* version = start->headers.find("x-amz-version-id");
  if (etag == nullptr) return fail(ErrorCode::unavailable, "S3 tells no ETag of the object", uri_of(key));
  get.headers.add("if-match", *etag);
  if (version != nullptr && *version != "null") get.query.emplace_back("versionId", *version);
  S3Object::Options options{start->size, std::move(start->bytes), options_.block_bytes, options_.blocks_ahead};
  return std::make_unique<S3Object>(client_, std::move(get), uri_of(key), std::move(options));
}

Result<std::vector<std::string>> S3ObjectStore::list(std::string_view prefix) {
  constexpr std::array<std::string_view, 1> kLists = {"Contents"};
  std::vector<std::string> keys;
  std::string next;
  do {
    auto page = request("ListObjectsV2", "GET", "/");
    page.query = {{"list-type", "2"}, {"encoding-type", "url"}, {"prefix", options_.prefix + std::string(prefix)}};
    if (!next.empty()) page.query.emplace_back("continuation-token", next);
    MemorySink sink;
    const auto answer = client_.send(page, sink);
    if (!answer) return fail_s3(uri_of(prefix), answer.error());
    const auto document = TRY(parse_xml(to_text(sink.take()), "s3.ListObjectsV2", {.lists = kLists}));
    for (const auto& object : json_or(document.value, "Contents", Json::array())) {
      const auto key = http::percent_decode(json_or(object, "Key", ""));  // somebody else's key may hold what XML can't
      if (key && key->starts_with(options_.prefix) && is_object_key(key->substr(options_.prefix.size()))) keys.push_back(key->substr(options_.prefix.size()));
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

// What an earlier try at the same key left when it was killed; one of today may still go on somewhere.
Status S3ObjectStore::give_up_old_uploads(std::string_view key) {
  constexpr std::array<std::string_view, 1> kLists = {"Upload"};
  const auto before = std::chrono::system_clock::now() - kUploadAge;
  auto wanted = request("ListMultipartUploads", "GET", "/");
  wanted.query = {{"uploads", ""}, {"prefix", options_.prefix + std::string(key)}};
  MemorySink sink;
  TRY(client_.send(wanted, sink));
  const auto document = TRY(parse_xml(to_text(sink.take()), "s3.ListMultipartUploads", {.lists = kLists}));
  for (const auto& upload : json_or(document.value, "Upload", Json::array())) {
    const auto begun = parse_rfc3339(json_or(upload, "Initiated", ""));
    if (!begun || *begun >= before || json_or(upload, "Key", "") != options_.prefix + std::string(key)) continue;
    auto abort = request("AbortMultipartUpload", "DELETE", TRY(path_of(key)));
    abort.query = {{"uploadId", json_or(upload, "UploadId", "")}};
    MemorySink nowhere;
    TRY(client_.send(abort, nowhere));
  }
  return {};
}

}  // namespace redoubt::provider::aws
