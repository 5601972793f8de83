// SPDX-License-Identifier: Apache-2.0
#include "vault/rewrap.h"

#include "base/file.h"
#include "crypto/hash.h"

namespace redoubt::vault {
namespace {

// The pairs of a context, each part with its length before it (provider::encode_context).
Result<provider::EncryptionContext> decode_context(ByteView bytes) {
  provider::EncryptionContext context;
  const auto malformed = [] { return fail(ErrorCode::tampered, "a sealed object has a malformed context"); };
  const auto take = [&bytes](std::string& into) {
    if (bytes.size() < 4) return false;
    const std::uint64_t size = (std::uint64_t{bytes[0]} << 24) | (bytes[1] << 16) | (bytes[2] << 8) | bytes[3];
    if (size > bytes.size() - 4) return false;
    into = to_text(bytes.subspan(4, static_cast<std::size_t>(size)));
    bytes = bytes.subspan(4 + static_cast<std::size_t>(size));
    return true;
  };
  while (!bytes.empty()) {
    std::string name, value;
    if (!take(name) || !take(value)) return malformed();
    context[name] = value;
  }
  return context;
}

class Rest final : public Source {
 public:
  Rest(const RandomAccess& from, std::uint64_t offset) : from_(from), offset_(offset) {}
  Result<std::size_t> read(MutableByteView into) override {
    const std::size_t count = static_cast<std::size_t>(std::min<std::uint64_t>(into.size(), from_.size() - offset_));
    TRY(from_.read_at(offset_, into.first(count)));
    offset_ += count;
    return count;
  }

 private:
  const RandomAccess& from_;
  std::uint64_t offset_;
};

}  // namespace

Result<bool> rewrap_file(const std::filesystem::path& path, const SealingKey& key, const IsCurrent& is_current) {
  const auto file = TRY(FileReader::open(path));
  Bytes start(static_cast<std::size_t>(std::min<std::uint64_t>(file->size(), kHeaderBytesMax)));
  TRY(file->read_at(0, start));
  const auto at_path = [&path](Error error) {
    error.where = path.string();
    return fail(std::move(error));
  };
  auto parsed = parse_header(start);
  if (!parsed) return at_path(parsed.error());
  auto& header = parsed->header;
  if (header.key_uri != key.uri) return at_path({ErrorCode::tampered, "a sealed object names another key than the one this workspace seals with"});
  if (is_current(header.wrapped_key)) return false;
  const auto context = decode_context(header.context);
  if (!context) return at_path(context.error());
  const auto data_key = key.kms->unwrap(key.uri, header.wrapped_key, *context);
  if (!data_key) return at_path(data_key.error());
  header.wrapped_key = TRY(key.kms->wrap(key.uri, *data_key, *context));
  const auto out = TRY(AtomicFile::create(path));
  TRY(out->write(encode_header(header)));
  Rest rest(*file, parsed->size);
  TRY(copy(rest, *out));
  TRY(out->commit());
  return true;
}

Result<Digest> sealed_digest(ByteView sealed) {
  const auto parsed = TRY(parse_header(sealed.first(std::min(sealed.size(), kHeaderBytesMax))));
  crypto::Sha256 hash;
  hash.update(bound_part(parsed.header)).update(sealed.subspan(parsed.size));
  return hash.finish();
}

}  // namespace redoubt::vault
