// SPDX-License-Identifier: Apache-2.0
#include "provider/aws/s3_upload.h"

#include <fmt/format.h>

#include "base/memory_object.h"
#include "crypto/hash.h"
#include "provider/aws/api/errors.h"
#include "provider/aws/api/xml.h"

namespace redoubt::provider::aws {
namespace {

constexpr int kUploadPartsMax = 10'000;
constexpr int kCompletionsMax = 3;  // of an answer that began as a success

}  // namespace

Result<std::unique_ptr<S3Upload>> S3Upload::begin(Client& client, RestRequest base, const http::Headers& create_headers, int parts_at_once) {
  RestRequest request = base;
  request.operation = "CreateMultipartUpload";
  request.method = "POST";
  request.query = {{"uploads", ""}};
  for (const auto& header : create_headers) request.headers.add(header.name, header.value);
  request.headers.add("x-amz-checksum-algorithm", "SHA256");
  request.may_be_repeated = true;  // an upload that nobody completes is no object
  MemorySink answer;
  TRY(client.send(request, answer));
  const auto document = TRY(parse_xml(to_text(answer.take()), "s3.CreateMultipartUpload"));
  auto id = TRY(json_string(document.value, "UploadId", "s3.CreateMultipartUpload"));
  return std::unique_ptr<S3Upload>(new S3Upload(client, std::move(base), std::move(id), parts_at_once));
}

S3Upload::~S3Upload() {
  if (complete_) return;
  for (auto& part : under_way_) part.wait();  // a part that arrives after the end would stay
  MemorySink nowhere;
  (void)client_.send(request("AbortMultipartUpload", "DELETE"), nowhere);
}

RestRequest S3Upload::request(const char* operation, const char* method) const {
  RestRequest request = base_;
  request.operation = operation;
  request.method = method;
  request.query = {{"uploadId", id_}};
  return request;
}

Result<S3Upload::Part> S3Upload::send(int number, Bytes bytes) const {
  auto part = request("UploadPart", "PUT");
  part.query.insert(part.query.begin(), {"partNumber", std::to_string(number)});
  const std::string checksum = to_base64(crypto::sha256(bytes).bytes());
  part.headers.add("x-amz-sdk-checksum-algorithm", "SHA256");
  part.headers.add("x-amz-checksum-sha256", checksum);
  part.upload_bytes = bytes.size();
  const MemoryObject contents(std::move(bytes));
  part.upload = &contents;
  MemorySink nowhere;
  const auto answer = TRY(client_.send(part, nowhere));
  const auto* etag = answer.headers.find("etag");
  if (etag == nullptr) return fail(ErrorCode::unavailable, "S3 took a part and named no ETag", "s3.UploadPart");
  return Part{*etag, checksum};
}

Status S3Upload::settle_oldest() {
  auto oldest = std::move(under_way_.front());
  under_way_.pop_front();
  done_.push_back(TRY(oldest.get()));
  return {};
}

Status S3Upload::add(Bytes part) {
  if (++count_ > kUploadPartsMax) return fail(ErrorCode::limit_exceeded, "the object needs more than 10,000 parts", "s3.UploadPart", "make its parts larger");
  while (under_way_.size() >= parts_at_once_) TRY(settle_oldest());
  under_way_.push_back(std::async(std::launch::async, [this, number = count_, bytes = std::move(part)]() mutable { return send(number, std::move(bytes)); }));
  return {};
}

Status S3Upload::complete(const http::Headers& headers) {
  while (!under_way_.empty()) TRY(settle_oldest());
  auto last = request("CompleteMultipartUpload", "POST");
  for (const auto& header : headers) last.headers.add(header.name, header.value);
  last.body = "<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">";
  for (std::size_t i = 0; i < done_.size(); ++i) {
    last.body += fmt::format("<Part><ChecksumSHA256>{}</ChecksumSHA256><ETag>{}</ETag><PartNumber>{}</PartNumber></Part>", done_[i].checksum, xml_escape(done_[i].etag), i + 1);
  }
  last.body += "</CompleteMultipartUpload>";
  last.may_be_repeated = true;  // once it is complete, S3 answers NoSuchUpload
  for (int attempt = 1;; ++attempt) {
    const Status done = ask_to_complete(last);
    const bool again = !done && done.error().code == ErrorCode::unavailable && !is_service_error(done.error(), "ConditionalRequestConflict");
    if (!again || attempt == kCompletionsMax) return done;
  }
}

// The work takes long, so S3 begins its answer with 200 before it knows how it ends.
Status S3Upload::ask_to_complete(const RestRequest& last) {
  MemorySink sink;
  const auto answer = TRY(client_.send(last, sink));
  const auto text = to_text(sink.take());
  const auto document = TRY(parse_xml(text, "s3.CompleteMultipartUpload"));
  if (document.root == "Error") return fail(error_of(read_refusal({500, answer.headers}, text), "s3.CompleteMultipartUpload"));
  complete_ = true;
  return {};
}

}  // namespace redoubt::provider::aws
