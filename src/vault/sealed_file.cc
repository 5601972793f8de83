// SPDX-License-Identifier: Apache-2.0
#include "vault/sealed_file.h"

#include "base/file.h"

namespace redoubt::vault {

Result<Bytes> SealedFile::read() const {
  const auto sealed = TRY(read_file(path_, bytes_max_ + (bytes_max_ >> 8) + (1 << 20)));
  auto plain = open_bytes(key_, context_, sealed, bytes_max_);
  if (!plain) plain.error().where = path_.string();
  return plain;
}

Status SealedFile::write(ByteView plaintext) const {
  if (plaintext.size() > bytes_max_) return fail(ErrorCode::limit_exceeded, "too much for this file", path_.string());
  const Bytes sealed = TRY(seal_bytes(key_, context_, plaintext));
  if (before_write_) TRY(before_write_(path_, sealed));
  const auto lock = TRY(FileLock::acquire(path_.parent_path() / kWriteLock));
  return write_file(path_, sealed);
}

Result<Json> SealedFile::read_json() const {
  auto plain = TRY(read());
  auto json = parse_json(text_of(plain), path_.string());
  wipe_memory(plain);
  return json;
}

Status SealedFile::write_json(const Json& value) const {
  auto text = dump_json(value);
  const auto written = write(view_of(text));
  wipe_memory({reinterpret_cast<std::uint8_t*>(text.data()), text.size()});
  return written;
}

bool SealedFile::exists() const {
  std::error_code ignored;
  return std::filesystem::exists(path_, ignored);
}

}  // namespace redoubt::vault
