// SPDX-License-Identifier: Apache-2.0
//
// Blobs to a registry and from it, taken up again where a connection broke.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <thread>

#include "base/file.h"
#include "crypto/checked_source.h"
#include "provider/registry/registry_client.h"

namespace redoubt::provider::registry {
namespace {

constexpr std::size_t kPartBytes = 16 << 20;
constexpr int kRestartsMax = 3;
constexpr int kBreaksMax = 8;  // in a row, without a byte that came through
constexpr std::uint64_t kBlobBytesMax = 1ull << 40;

class TextSource final : public Source {
 public:
  explicit TextSource(std::string text) : text_(std::move(text)), rest_(view_of(text_)) {}
  Result<std::size_t> read(MutableByteView into) override { return rest_.read(into); }

 private:
  std::string text_;
  MemorySource rest_;
};

// As much of the part as there is; less only at the end.
Result<std::size_t> fill(Source& from, MutableByteView part) {
  std::size_t filled = 0;
  for (std::size_t count = 1; count > 0 && filled < part.size(); filled += count) count = TRY(from.read(part.subspan(filled)));
  return filled;
}

void wait_after(int breaks) { std::this_thread::sleep_for(std::chrono::milliseconds(200ll << std::min(breaks, 6))); }

std::string with_digest(const std::string& url, const Digest& digest) { return url + (url.find('?') == url.npos ? "?" : "&") + "digest=" + percent_encode(digest.tagged()); }

}  // namespace

// A file without a name, to read what was written to it.
class FileSink final : public Sink {
 public:
  static Result<std::unique_ptr<FileSink>> create() {
    auto folder = TRY(TemporaryFolder::create());
    auto file = TRY(AtomicFile::create(folder.path() / "blob"));
    return std::unique_ptr<FileSink>(new FileSink(std::move(folder), std::move(file)));
  }
  Status write(ByteView bytes) override { return file_->write(bytes); }
  Result<std::unique_ptr<FileReader>> read_back() {
    TRY(file_->commit());
    return FileReader::open(folder_.path() / "blob");
  }

 private:
  FileSink(TemporaryFolder folder, std::unique_ptr<AtomicFile> file) : folder_(std::move(folder)), file_(std::move(file)) {}
  TemporaryFolder folder_;
  std::unique_ptr<AtomicFile> file_;
};

// A blob in ranges, so that a reader pulls at its own pace and a broken connection costs one part. Where the registry serves no
// ranges it comes as a whole, through a file.
class BlobSource final : public Source {
 public:
  BlobSource(const RegistryClient& client, http::ClientRequest get, std::optional<std::uint64_t> size, const Digest& expected)
      : client_(client), get_(std::move(get)), size_(size), expected_(expected) {}

  Result<std::size_t> read(MutableByteView into) override {
    if (!size_ && whole_ == nullptr) TRY(fetch_whole());
    return whole_ != nullptr ? whole_->read(into) : read_part(into);
  }

 private:
  Result<std::size_t> read_part(MutableByteView into) {
    if (used_ == part_.size() && fetched_ < *size_) {
      auto fetched = fetch_part();
      // Told before the first byte: then nothing was handed out yet.
      if (!fetched && fetched.error().code == ErrorCode::unsupported && fetched_ == 0) {
        TRY(fetch_whole());
        return whole_->read(into);
      }
      TRY(std::move(fetched));
    }
    const std::size_t count = std::min(into.size(), part_.size() - used_);
    std::copy_n(part_.begin() + static_cast<std::ptrdiff_t>(used_), count, into.begin());
    used_ += count;
    return count;
  }

  Status fetch_part() {
    auto get = get_;
    get.offset = fetched_;
    get.length = get.bytes_max = std::min<std::uint64_t>(kPartBytes, *size_ - fetched_);
    get.attempts_max = kBreaksMax;
    MemorySink sink;
    TRY(client_.send(get, sink));
    part_ = sink.take();
    if (part_.size() != get.length) return fail(ErrorCode::unavailable, "the registry cut a blob off", expected_.tagged(), "try again");
    fetched_ += part_.size();
    used_ = 0;
    return {};
  }

  Status fetch_whole() {
    auto get = get_;
    get.bytes_max = size_.value_or(kBlobBytesMax);
    sink_ = TRY(FileSink::create());
    TRY(client_.send(get, *sink_));
    whole_ = TRY(sink_->read_back());
    return {};
  }

  const RegistryClient& client_;
  http::ClientRequest get_;
  std::optional<std::uint64_t> size_;
  std::uint64_t fetched_ = 0;
  Digest expected_;
  Bytes part_;
  std::size_t used_ = 0;
  std::unique_ptr<FileSink> sink_;
  std::unique_ptr<FileReader> whole_;
};

Result<bool> RegistryClient::has_blob(const ImageDescriptor& blob) const {
  auto asked = request("HEAD", "blobs/" + blob.digest.tagged());
  asked.expected_statuses = {404};
  MemorySink nothing;
  const auto response = send(asked, nothing);
  // A registry may keep blobs elsewhere and point there; whoever is not followed there sends the blob again.
  if (!response && response.error().code == ErrorCode::gate_refused) return false;
  if (!response) return fail(response.error());
  if (response->status == 404) return false;
  TRY(check_digest(*response, blob.digest, blob.digest.tagged()));
  const auto* length = response->headers.find("content-length");
  return length != nullptr && *length == std::to_string(blob.size);
}

Result<bool> RegistryClient::mount_blob(const ImageDescriptor& blob) const {
  if (access_.mount_from.empty()) return false;
  auto post = request("POST", fmt::format("blobs/uploads/?mount={}&from={}", percent_encode(blob.digest.tagged()), percent_encode(access_.mount_from)));
  const auto mounted = fetch(std::move(post));
  // A registry that may not, or can't, take it from there says so in its own way; sent it can be all the same.
  if (!mounted && mounted.error().code != ErrorCode::unavailable && mounted.error().code != ErrorCode::tampered) return false;
  if (!mounted) return fail(mounted.error());
  if (mounted->first.status != 201) return false;  // an upload was begun instead; who sends the blob begins its own
  TRY(check_digest(mounted->first, blob.digest, blob.digest.tagged()));
  return true;
}

// Where the next part goes: each answer names it anew. On this registry, or nowhere.
Result<std::string> RegistryClient::next_url(const http::ClientResponse& response) const {
  const auto* location = response.headers.find("location");
  if (location == nullptr || location->empty()) return fail(ErrorCode::unsupported, "the registry names no address to send a blob to", reference_.origin);
  const bool is_path = location->starts_with('/') && !location->starts_with("//");
  std::string url = is_path ? reference_.origin + *location : *location;
  if (TRY(origin_of(url)) == reference_.origin) return url;
  return fail(ErrorCode::gate_refused, "the registry wants the blob to be sent to another host", http::without_query(url), "name that host as the registry if it is yours");
}

Result<std::string> RegistryClient::begin_upload() const {
  for (int breaks = 0;; ++breaks) {
    const auto begun = fetch(request("POST", "blobs/uploads/"));
    if (begun) return next_url(begun->first);
    if (begun.error().code != ErrorCode::unavailable || breaks + 1 == kBreaksMax) return fail(begun.error());
    wait_after(breaks);
  }
}

// How many bytes the registry has of an upload. It may name another address for what follows.
Result<std::uint64_t> RegistryClient::uploaded(std::string& url) const {
  auto asked = request("GET", "");
  asked.url = url;
  const auto [response, body] = TRY(fetch(std::move(asked)));
  if (response.headers.find("location") != nullptr) url = TRY(next_url(response));
  const auto* range = response.headers.find("range");
  const auto last = range == nullptr ? std::nullopt : last_byte(*range);
  // "0-0" is what a registry says that has nothing, and what one says that has a byte: the byte is sent again, and refused or taken.
  return last && *last > 0 ? *last + 1 : 0;
}

// One part from `offset` on, again from where the registry says it is when the connection breaks.
Result<std::string> RegistryClient::send_part(const std::string& to, std::uint64_t offset, ByteView part) const {
  std::string url = to;
  std::uint64_t at = offset;
  const std::uint64_t end = offset + part.size();
  for (int breaks = 0; at < end;) {
    const ByteView rest = part.subspan(static_cast<std::size_t>(at - offset));
    auto patch = request("PATCH", "");
    patch.url = url;
    patch.headers.add("Content-Type", "application/octet-stream");
    patch.headers.add("Content-Range", fmt::format("{}-{}", at, end - 1));
    patch.body = to_text(rest);
    patch.expected_statuses = {416};
    patch.attempts_max = 1;
    const auto sent = fetch(std::move(patch));
    if (sent && sent->first.status != 416) return next_url(sent->first);
    const bool broke = !sent && sent.error().code == ErrorCode::unavailable;
    if (!sent && !broke) return fail(sent.error());
    if (++breaks > kBreaksMax) return sent ? fail(ErrorCode::unavailable, "the registry refuses each part of a blob (HTTP 416)", http::without_query(url)) : fail(sent.error());
    wait_after(breaks - 1);
    const auto has = uploaded(url);
    if (!has && has.error().code == ErrorCode::unavailable) continue;
    if (!has && (has.error().code == ErrorCode::permission_denied || has.error().code == ErrorCode::gate_refused)) return fail(has.error());
    // A registry that can't take an upload up again forgets it; the blob is sent anew.
    if (!has || *has < offset || *has > end) return fail(ErrorCode::unavailable, "the registry lost a part of a blob", http::without_query(url), "push again");
    if (*has > at) breaks = 0;
    at = *has;
  }
  return url;
}

Status RegistryClient::finish_upload(const std::string& url, const Digest& digest, ByteView rest) const {
  auto put = request("PUT", "");
  put.url = with_digest(url, digest);
  put.headers.add("Content-Type", "application/octet-stream");
  put.body = to_text(rest);
  const auto [response, body] = TRY(fetch(std::move(put)));
  if (response.status != 201) return fail(ErrorCode::unsupported, fmt::format("the registry did not say that it keeps the blob (HTTP {})", response.status), digest.tagged());
  return check_digest(response, digest, digest.tagged());
}

Status RegistryClient::put_blob(const ImageDescriptor& blob, const OpenBlob& open) const {
  for (int restarts = 0;; ++restarts) {
    auto sent = send_blob(blob, open);
    if (sent) return sent;
    const bool lost = sent.error().code == ErrorCode::unavailable || sent.error().code == ErrorCode::not_found;
    if (!lost) return sent;
    // The answer to the last request may be what got lost.
    if (const auto there = has_blob(blob); there && *there) return {};
    if (restarts == kRestartsMax) return sent;
  }
}

Status RegistryClient::send_blob(const ImageDescriptor& blob, const OpenBlob& open) const {
  const auto contents = TRY(open());
  Bytes part(static_cast<std::size_t>(std::min<std::uint64_t>(blob.size, kPartBytes)));
  std::string url = TRY(begin_upload());
  if (blob.size <= kPartBytes) {
    const std::size_t count = TRY(fill(*contents, part));
    std::uint8_t beyond = 0;
    if (count != part.size() || TRY(contents->read({&beyond, 1})) != 0) return fail(ErrorCode::tampered, "an image blob has another length than its manifest says", blob.digest.tagged());
    return finish_upload(url, blob.digest, part);
  }
  for (std::uint64_t sent = 0; sent < blob.size;) {
    const auto wanted = static_cast<std::size_t>(std::min<std::uint64_t>(part.size(), blob.size - sent));
    if (TRY(fill(*contents, MutableByteView(part).first(wanted))) != wanted) return fail(ErrorCode::tampered, "an image blob is shorter than its manifest says", blob.digest.tagged());
    if (sent + wanted == blob.size) {
      // The end is read before the last part goes, where the store checks the digest: a changed blob never leaves whole.
      std::uint8_t beyond = 0;
      if (TRY(contents->read({&beyond, 1})) != 0) return fail(ErrorCode::tampered, "an image blob is longer than its manifest says", blob.digest.tagged());
    }
    url = TRY(send_part(url, sent, ByteView(part).first(wanted)));
    sent += wanted;
  }
  return finish_upload(url, blob.digest, {});
}

Result<Digest> RegistryClient::put_blob(Source& contents) const {
  crypto::Sha256 hash;
  Bytes part(kPartBytes);
  std::string url;
  for (std::uint64_t sent = 0;;) {
    const std::size_t filled = TRY(fill(contents, part));
    const ByteView bytes = ByteView(part).first(filled);
    hash.update(bytes);
    if (url.empty()) url = TRY(begin_upload());
    if (filled > 0) url = TRY(send_part(url, sent, bytes));
    sent += filled;
    if (filled < part.size()) break;
  }
  const Digest digest = hash.finish();
  TRY(finish_upload(url, digest, {}));
  return digest;
}

Result<std::unique_ptr<Source>> RegistryClient::open_blob(const Digest& digest) const {
  auto asked = request("HEAD", "blobs/" + digest.tagged());
  asked.expected_statuses = {404};
  MemorySink nothing;
  const auto head = TRY(send(asked, nothing));
  // A registry that keeps blobs elsewhere points there already at a HEAD, and tells the length there.
  if (head.status == 404) {
    auto as_manifest = TRY(manifest(digest.tagged()));
    if (!as_manifest) return fail(ErrorCode::not_found, "no such blob", digest.tagged());
    return std::unique_ptr<Source>(std::make_unique<TextSource>(std::move(as_manifest->bytes)));
  }
  const auto* length = head.headers.find("content-length");
  std::optional<std::uint64_t> size;
  if (length != nullptr) size = std::strtoull(length->c_str(), nullptr, 10);
  asked.method = "GET";
  asked.expected_statuses.clear();
  return std::unique_ptr<Source>(std::make_unique<crypto::CheckedSource>(std::make_unique<BlobSource>(*this, std::move(asked), size, digest), digest));
}

}  // namespace redoubt::provider::registry
