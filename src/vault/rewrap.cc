// SPDX-License-Identifier: Apache-2.0
#include "vault/rewrap.h"

#include <optional>

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

// The header that an object needs instead of its own; nothing where that is by the newest version already.
Result<std::optional<ParsedHeader>> header_anew(const RandomAccess& object, const std::string& where, const SealingKey& key, const IsCurrent& is_current) {
  const auto at_object = [&where](Error error) {
    error.where = where;
    return fail(std::move(error));
  };
  auto parsed = read_header(object);
  if (!parsed) return at_object(parsed.error());
  auto& header = parsed->header;
  if (header.key_uri != key.uri) return at_object({ErrorCode::tampered, "a sealed object names another key than the one this workspace seals with"});
  if (is_current(header.wrapped_key)) return std::optional<ParsedHeader>();
  const auto context = decode_context(header.context);
  if (!context) return at_object(context.error());
  const auto data_key = key.kms->unwrap(key.uri, header.wrapped_key, *context);
  if (!data_key) return at_object(data_key.error());
  header.wrapped_key = TRY(key.kms->wrap(key.uri, *data_key, *context));
  return std::optional(std::move(*parsed));
}

// A new header before the chunks of an object as they are.
class Reheaded final : public Source {
 public:
  Reheaded(const ParsedHeader& parsed, const RandomAccess& object) : header_(encode_header(parsed.header)), start_(header_), rest_(object, parsed.size) {}
  Result<std::size_t> read(MutableByteView into) override {
    if (const auto count = TRY(start_.read(into)); count > 0) return count;
    return rest_.read(into);
  }

 private:
  Bytes header_;
  MemorySource start_;
  Rest rest_;
};

}  // namespace

Result<bool> rewrap_file(const std::filesystem::path& path, const SealingKey& key, const IsCurrent& is_current) {
  const auto file = TRY(FileReader::open(path));
  const auto parsed = TRY(header_anew(*file, path.string(), key, is_current));
  if (!parsed) return false;
  const auto out = TRY(AtomicFile::create(path));
  Reheaded contents(*parsed, *file);
  TRY(copy(contents, *out));
  TRY(out->commit());
  return true;
}

Result<bool> rewrap_object(provider::ObjectStore& store, const std::string& object, const SealingKey& key, const IsCurrent& is_current) {
  const auto sealed = TRY(store.open(object));
  const auto parsed = TRY(header_anew(*sealed, object, key, is_current));
  if (!parsed) return false;
  Reheaded contents(*parsed, *sealed);
  TRY(store.put(object, contents, provider::PutMode::replace));
  return true;
}

Result<Digest> sealed_digest(ByteView sealed) {
  const auto parsed = TRY(parse_header(sealed.first(std::min(sealed.size(), kHeaderBytesMax))));
  crypto::Sha256 hash;
  hash.update(bound_part(parsed.header)).update(sealed.subspan(parsed.size));
  return hash.finish();
}

Result<ParsedHeader> read_header(const RandomAccess& sealed) {
  Bytes start(static_cast<std::size_t>(std::min<std::uint64_t>(sealed.size(), kHeaderBytesMax)));
  TRY(sealed.read_at(0, start));
  return parse_header(start);
}

Result<Digest> sealed_digest(const RandomAccess& sealed) {
  const auto parsed = TRY(read_header(sealed));
  crypto::Sha256 hash;
  hash.update(bound_part(parsed.header));
  Rest rest(sealed, parsed.size);
  Bytes chunk(1 << 20);
  while (const std::size_t count = TRY(rest.read(chunk))) hash.update(ByteView(chunk).first(count));
  return hash.finish();
}

}  // namespace redoubt::vault
