// SPDX-License-Identifier: Apache-2.0
#include "engine/train/weights_digest.h"

#include <algorithm>

#include "crypto/hash.h"
#include "engine/model/tasks.h"
#include "weights/model_files.h"

namespace redoubt::engine::train {
namespace {

constexpr std::uint64_t kPieceBytes = 1 << 20;

Result<std::string> digest_of(const weights::ModelFiles::Place& place) {
  const auto& tensor = *place.tensor;
  crypto::Sha256 sum;
  sum.update(tensor.name + "\n" + to_string(tensor.type));
  for (const auto length : tensor.shape) sum.update(" " + std::to_string(length));
  sum.update("\n");
  Bytes buffer(static_cast<std::size_t>(std::min(kPieceBytes, tensor.bytes)));
  for (std::uint64_t done = 0; done < tensor.bytes;) {
    auto piece = tensor;
    piece.offset += done;
    piece.bytes = std::min(kPieceBytes, tensor.bytes - done);
    const auto into = MutableByteView(buffer).first(static_cast<std::size_t>(piece.bytes));
    TRY(place.file->read(piece, into));
    sum.update(into);
    done += piece.bytes;
  }
  return sum.finish().hex();
}

}  // namespace

Result<std::string> digest_of_weights(const std::filesystem::path& folder) {
  const auto files = TRY(weights::ModelFiles::open_folder(folder));
  std::vector<weights::ModelFiles::Place> places;
  for (const auto* tensor : files.tensors()) places.push_back(TRY(files.find(tensor->name)));
  std::sort(places.begin(), places.end(), [](const auto& a, const auto& b) { return a.tensor->name < b.tensor->name; });
  std::vector<Result<std::string>> digests(places.size(), std::string());
  model::for_each_task(std::ssize(places), [&](std::int64_t i) { digests[static_cast<std::size_t>(i)] = digest_of(places[static_cast<std::size_t>(i)]); });
  crypto::Sha256 sum;
  for (auto& digest : digests) sum.update(TRY(std::move(digest)));
  return sum.finish().hex();
}

}  // namespace redoubt::engine::train
